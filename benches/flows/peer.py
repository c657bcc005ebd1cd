"""anomalib's FastFlow or CFlow, trained for a number of epochs and scored on a set: accuracy, steps and time as one line of JSON.

    python benches/flows/peer.py fastflow|cflow SET WEIGHTS [--epochs 20] [--batch 32] [--seed 0] [--size 256] [--threads 1] [--layers ...] [--conv3x3-only]

SET is a folder in MVTec AD layout, WEIGHTS a ResNet-18 state dict up to layer3 with batch norm folded in. FastFlow takes layer1 to
layer3, as anomalib's does. CFlow, whose default is layer2 to layer4, takes `--layers` (layer1,layer2,layer3), which are all that the
file has. FastFlow alternates kernels of 3 and 1, anomalib's default, unless `--conv3x3-only`.

The training steps, losses, optimisers, learned layer norm (FastFlow) and fiber batches of 64 (CFlow) are anomalib's own code, without
its Engine: every image goes through the frozen backbone once, and training looks its features up. No augmentation, the last batch of
an epoch is kept (as by anomalib's data module), no early stopping, scores after the last epoch. CFlow's map is relative to the best
position of the batch that it scores: `image`, `pixel` and `aupro` are of batches of `--batch` images in the order of their names, as
anomalib would predict, those in `whole_set` of one batch of all test images. AUPRO is up to a false positive rate of 0.3, exact.
`train_cpu` and `train_wall` are seconds in the epochs alone.

Made with Python 3.11, torch 2.15.0, anomalib 2.7.0, FrEIA 0.2, timm 1.0.31, scikit-learn 1.9.1, scipy 1.17.1.
"""

import argparse
import glob
import json
import os
import random
import runpy
import sys
import types

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("method", choices=["fastflow", "cflow"])
parser.add_argument("set")
parser.add_argument("weights")
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--size", type=int, default=256)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--layers", default="layer1,layer2,layer3")
parser.add_argument("--conv3x3-only", action="store_true")
args = parser.parse_args()  # Before the libraries are loaded, which take seconds and may be missing.

BENCHES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
patchcore = runpy.run_path(os.path.join(BENCHES, "anomalib", "peer.py"))
sys.path.append(BENCHES)

import numpy
import torch
from blemish import NAMES, Rows
from measures import accuracy, image

SIZE = (args.size, args.size)


class Remembered(torch.nn.Module):
    """Stands in for the frozen backbone: takes, for each image, its number spread over the image's shape (see `numbers`)."""

    def __init__(self, backbone, paths):
        super().__init__()
        backbone.eval()
        with torch.no_grad():
            found = [backbone(image(path, SIZE)[None]) for path in paths]
        self.named = isinstance(found[0], dict)
        keys = found[0] if self.named else range(len(found[0]))
        self.features = {key: torch.cat([features[key] for features in found]) for key in keys}

    def forward(self, images):
        features = {key: value[images[:, 0, 0, 0]] for key, value in self.features.items()}
        return features if self.named else list(features.values())


def numbers(indices):
    return indices.reshape(-1, 1, 1, 1).expand(-1, 3, *SIZE)


def lightning_module():
    """anomalib's module and the name of its torch model's backbone."""
    patchcore["with_weights"](args.weights)
    from anomalib.models import Cflow, Fastflow

    quiet = {"visualizer": False, "evaluator": False, "post_processor": False}
    if args.method == "fastflow":
        sized = Fastflow.configure_pre_processor(SIZE)
        return Fastflow(backbone="resnet18", conv3x3_only=args.conv3x3_only, pre_processor=sized, **quiet), "feature_extractor"
    return Cflow(backbone="resnet18", layers=args.layers.split(","), pre_processor=False, **quiet), "encoder"


def train(module, count):
    """Trains on the remembered images; the steps taken and the last epoch's mean loss as anomalib logs it."""
    optimiser, taken, losses = module.configure_optimizers(), [], []
    optimiser.register_step_post_hook(lambda *_: taken.append(1))
    module.optimizers, module.manual_backward, module.log = lambda: optimiser, lambda loss: loss.backward(), lambda *_, **__: None
    module.train()
    for _ in range(args.epochs):
        losses.clear()
        for indices in torch.randperm(count).split(args.batch):
            loss = module.training_step(types.SimpleNamespace(image=numbers(indices)))["loss"]
            if module.automatic_optimization:
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            losses.append(loss.item())
    return len(taken), float(numpy.mean(losses))


random.seed(args.seed), numpy.random.seed(args.seed), torch.manual_seed(args.seed)
torch.set_num_threads(args.threads)
module, backbone_name = lightning_module()
backbone = getattr(module.model, backbone_name)
paths = sorted(glob.glob(f"{args.set}/train/good/*"))
setattr(module.model, backbone_name, Remembered(backbone, paths))
start = patchcore["clock"]()
steps, loss = train(module, len(paths))
took = patchcore["since"](start)

setattr(module.model, backbone_name, backbone)
module.eval()
tested = sorted(glob.glob(f"{args.set}/test/*/*"))
if args.method == "cflow":
    module.model.fiber_batch_size = 4096  # Fibers are scored independently: this only saves time.
figures = accuracy(module.model, args.set, tested, args.batch, SIZE)
if args.method == "cflow":
    figures["whole_set"] = accuracy(module.model, args.set, tested, len(tested), SIZE)
setting = {key: value for key, value in vars(args).items() if key not in ["set", "weights"]}
print(json.dumps({**setting, **figures, "steps": steps, "loss": loss, "train_cpu": took["cpu"], "train_wall": took["wall"]}))
rows = Rows(f"{args.method}-peer")
for kind, metric in NAMES.items():
    if figures[kind] is not None:
        figure = {"set": os.path.basename(args.set.rstrip("/")), "method": args.method, "variant": f"{args.epochs} epochs", "peer": "anomalib"}
        rows.add(**figure, metric=metric, value=f"{100 * figures[kind]:.1f}", seeds=1, note=f"seed {args.seed}")
