"""GANomaly beside anomalib's own torch model on one set, at equal size, width, batch and steps: image AUROC of each seed.

    python benches/peers/ganomaly.py PROGRAM SET [--size 64] [--width 16] [--steps 300] [--batch 16] [--seeds 3] [--threads 1] [--combined]

SET is a folder in MVTec AD layout with images of SIZE x SIZE, so that nobody resizes; without masks it serves as well. `blemish data synth
SET --look metal --size 64x64 --train 100` makes one. anomalib trains in a plain loop of its model, its losses and the order of its training
step, without its Engine; colours by ImageNet's moments, its default. Blemish trains `variant=anomalib` and `variant=published`. All score by the
distance between the codes after the last step; `--combined` adds blemish's own default, `score=combined`.

anomalib shuffles the images by torch's generator, blemish by its own: no two trainings see the same batches.

Made with Python 3.11, torch 2.15.0, anomalib 2.7.0, scikit-learn 1.9.1.
"""

import argparse
import glob
import os
import sys
import tempfile

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("program")
parser.add_argument("set")
parser.add_argument("--size", type=int, default=64)
parser.add_argument("--width", type=int, default=16)
parser.add_argument("--steps", type=int, default=300)
parser.add_argument("--batch", type=int, default=16)
parser.add_argument("--seeds", type=int, default=3)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--combined", action="store_true")
args = parser.parse_args()  # Before the libraries are loaded, which take seconds and may be missing.

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import torch
from anomalib.models.image.ganomaly.loss import DiscriminatorLoss, GeneratorLoss
from anomalib.models.image.ganomaly.torch_model import GanomalyModel
from blemish import Program, Rows, mean_and_spread
from measures import image
from sklearn.metrics import roc_auc_score


def stacked(paths):
    return torch.stack([image(path, (args.size, args.size)) for path in paths])


def batches(count):
    """Shuffled anew in every epoch, the last incomplete batch left out."""
    size = min(args.batch, count)
    while True:
        yield from torch.randperm(count)[: count // size * size].split(size)


def anomalib(seed, good, tested, labels):
    """Image AUROC of anomalib's model after the steps."""
    torch.manual_seed(seed)
    model = GanomalyModel((args.size, args.size), 3, args.width, 100)
    adam = lambda part: torch.optim.Adam(part.parameters(), lr=2e-4, betas=(0.5, 0.999))
    of_generator, of_discriminator = adam(model.generator), adam(model.discriminator)
    generator_loss, discriminator_loss = GeneratorLoss(1, 50, 1), DiscriminatorLoss()
    model.train()
    for _, chosen in zip(range(args.steps), batches(len(good))):
        padded, made, code, second = model(good[chosen])
        real, _ = model.discriminator(padded)
        loss = generator_loss(code, second, padded, made, real, model.discriminator(made)[0])
        of_generator.zero_grad()
        loss.backward(retain_graph=True)
        of_generator.step()
        loss = discriminator_loss(real, model.discriminator(made.detach())[0])
        of_discriminator.zero_grad()
        loss.backward()
        of_discriminator.step()
    model.eval()
    with torch.no_grad():
        return roc_auc_score(labels, model(tested).pred_score)


def blemish(program, folder, variant, seed, score):
    """Image AUROC of blemish's."""
    model = os.path.join(folder, f"{variant}-{seed}-{score}.blemish")
    settings = [f"variant={variant}", f"width={args.width}", f"steps={args.steps}", f"batch={args.batch}", f"score={score}"]
    options = [word for setting in settings for word in ["--set", setting]]
    program.fit(args.set, model, "--method", "ganomaly", "--size", f"{args.size}x{args.size}", "--seed", str(seed), "--folds", "0", *options)
    metrics, _ = program.evaluate(model, args.set)
    return metrics["image"]["auroc"]


torch.set_num_threads(args.threads)
good = stacked(sorted(glob.glob(f"{args.set}/train/good/*")))
paths = sorted(glob.glob(f"{args.set}/test/*/*"))
tested, labels = stacked(paths), [path.split("/")[-2] != "good" for path in paths]
program = Program(args.program, "--threads", str(args.threads))
kinds = [("anomalib", "anomalib", ""), ("", "anomalib", "code"), ("", "published", "code")]
if args.combined:
    kinds.append(("", "published", "combined"))
found = {kind: [] for kind in kinds}
with tempfile.TemporaryDirectory() as folder:
    for seed in range(args.seeds):
        for kind in kinds:
            peer, variant, score = kind
            auroc = anomalib(seed, good, tested, labels) if peer else blemish(program, folder, variant, seed, score)
            found[kind].append(auroc)
            print(f"seed {seed}, {peer or 'blemish'} {variant} {score}: {100 * auroc:.1f}", flush=True)
rows = Rows("ganomaly-peer")
for (peer, variant, score), aurocs in found.items():
    mean, spread = mean_and_spread(aurocs, 100)
    print(f"{peer or 'blemish'} {variant} {score}: {mean} ± {spread}")
    name = f"{variant}, {score or 'code'}, {args.size} pixels, width {args.width}, {args.steps} steps"
    rows.add(set=os.path.basename(args.set.rstrip("/")), method="ganomaly", variant=name, metric="image AUROC, %", value=mean, spread=spread,
             seeds=args.seeds, peer=peer, note=f"{len(good)} good images, last step")
