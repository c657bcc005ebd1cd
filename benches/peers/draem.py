"""DRAEM beside anomalib's own at equal steps, image size and widths, on one synthetic set: accuracy of both over several seeds.

    python benches/peers/draem.py [--program target/release/blemish] [--look fabric] [--steps 250] [--size 128] [--width 16] [--seeds 0,1,2]
                                  [--threads 2] [--sspcab] [--as-is] [--only anomalib|blemish] [--work FOLDER]

Makes a set of `blemish data synth` (100 good images, 256 pixels) and a folder of textures of the two other looks, then trains on it:

- anomalib: its networks at these widths, its loss, its defect generator with that folder, Adam; pictures are read and resized once.
  `--sspcab` turns on its predictive block and the loss of that. Its focal loss is kornia's with an alpha of 1, by which kornia 0.9
  weights good pixels by nothing: the map has no reason to stay low anywhere. Unless `--as-is`, alpha is None, which weights all alike.
- blemish: `fit --method draem --textures FOLDER` with the same settings; `--sspcab` is `sspcab=anomalib`.

Both take batches of 8, the rate that `--rate` gives, a fifth of it from 80 % of the steps on and a fifth of that from 90 % on. Images are
scored by the maximum of the map, which is anomalib's rule; `image, window` is its figure by the paper's. Blemish holds a few of the good
images out for its thresholds and learns from the others, anomalib from all.

Made with Python 3.11, torch 2.15.0, anomalib 2.7.0, kornia 0.9.0, scikit-learn 1.9.1.
"""

import argparse
import glob
import json
import os
import random
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--program", default="target/release/blemish")
parser.add_argument("--look", default="fabric", choices=["fabric", "metal", "print"])
parser.add_argument("--steps", type=int, default=250)
parser.add_argument("--size", type=int, default=128)
parser.add_argument("--width", type=int, default=16)
parser.add_argument("--rate", type=float, default=1e-3)
parser.add_argument("--seeds", default="0,1,2")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--sspcab", action="store_true")
parser.add_argument("--as-is", action="store_true")
parser.add_argument("--only", choices=["anomalib", "blemish"])
parser.add_argument("--work", help="keeps the set and the models here")
args = parser.parse_args()  # Before the libraries are loaded, which take seconds and may be missing.

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import numpy
from blemish import NAMES, Program, Rows, figures, mean_and_spread

WINDOW = max(1, args.size * 21 // 256 // 2 * 2 + 1)


def peer(data, textures, seed):
    """Trains and scores anomalib's DRAEM."""
    import torch
    from anomalib.data.utils.generators.perlin import PerlinAnomalyGenerator
    from anomalib.models.image.draem.loss import DraemLoss
    from anomalib.models.image.draem.torch_model import DiscriminativeSubNetwork, DraemModel, ReconstructiveSubNetwork
    from kornia.losses import FocalLoss
    from PIL import Image
    from sklearn.metrics import roc_auc_score
    from torch.nn import functional as F

    random.seed(seed), numpy.random.seed(seed), torch.manual_seed(seed)
    torch.set_num_threads(args.threads)
    side = args.size

    def pixels(path, mode, filter):
        return torch.from_numpy(numpy.array(Image.open(path).convert(mode).resize((side, side), filter)))

    def image(path):
        return pixels(path, "RGB", Image.BILINEAR).permute(2, 0, 1).float() / 255

    model = DraemModel()
    model.reconstructive_subnetwork = ReconstructiveSubNetwork(base_width=args.width, sspcab=args.sspcab)
    model.discriminative_subnetwork = DiscriminativeSubNetwork(in_channels=6, out_channels=2, base_width=args.width)
    seen, encoder = {}, model.reconstructive_subnetwork.encoder
    encoder.mp4.register_forward_hook(lambda _, __, x: seen.update(x=x))
    encoder.block5.register_forward_hook(lambda _, __, z: seen.update(z=z))
    generator, criterion = PerlinAnomalyGenerator(anomaly_source_path=textures, blend_factor=(0.1, 1.0)), DraemLoss()
    if not args.as_is:
        criterion.focal_loss = FocalLoss(alpha=None, reduction="mean")
    optimiser = torch.optim.Adam(model.parameters(), lr=args.rate)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [args.steps * 8 // 10, args.steps * 9 // 10], 0.2)
    good = torch.stack([image(path) for path in sorted(glob.glob(f"{data}/train/good/*"))])
    started, order, losses = time.perf_counter(), [], []
    model.train()
    for _ in range(args.steps):
        if len(order) < 8:
            order = torch.randperm(len(good)).tolist()
        batch, order = good[order[:8]], order[8:]
        augmented, masks = generator(batch)
        repaired, logits = model(augmented)
        loss = criterion(batch, repaired, masks, logits)
        if args.sspcab:
            loss = loss + 0.1 * F.mse_loss(seen["x"], seen["z"])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    took = time.perf_counter() - started
    model.eval()
    labels, largest, means, maps, truth = [], [], [], [], []
    with torch.no_grad():
        for path in sorted(glob.glob(f"{data}/test/*/*")):
            kind, name = path.split("/")[-2:]
            found = model(image(path)[None]).anomaly_map
            labels.append(kind != "good")
            largest.append(float(found.max()))
            means.append(float(F.avg_pool2d(found[:, None], WINDOW, 1, WINDOW // 2).max()))
            mask = f"{data}/ground_truth/{kind}/{os.path.splitext(name)[0]}_mask.png"
            marked = pixels(mask, "L", Image.NEAREST) > 127 if os.path.exists(mask) else torch.zeros(side, side, dtype=bool)
            maps.append(found[0].numpy()), truth.append(marked.numpy())
    return {
        "image": roc_auc_score(labels, largest), "image, window": roc_auc_score(labels, means),
        "pixel": roc_auc_score(numpy.ravel(truth), numpy.ravel(maps)), "loss": numpy.mean(losses[-20:]), "seconds": took,
    }


def ours(program, data, textures, seed, folder):
    """Trains and scores ours."""
    model = os.path.join(folder, f"draem-{seed}.blemish")
    settings = {
        "side": args.size, "repair_width": args.width, "segment_width": args.width, "steps": args.steps, "batch": 8, "rate": args.rate,
        "window": WINDOW, "turned": 0, "score": "max", "sspcab": "anomalib" if args.sspcab else "off",
    }
    words = [word for key, value in settings.items() for word in ["--set", f"{key}={value}"]]
    done = program.fit(data, model, "--method", "draem", "--textures", textures, "--seed", seed, "--threads", args.threads, *words)
    measured = figures(program.evaluate(model, data)[0])
    return {"image": measured["image"], "pixel": measured["pixel"], "seconds": done.wall}


def main():
    program = Program(args.program)
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.work or scratch
        data, textures = os.path.join(folder, args.look), os.path.join(folder, "textures")
        os.makedirs(folder, exist_ok=True)
        if not os.path.exists(data):
            program.synth(data, "--look", args.look, "--seed", 8, "--train", 100)
        for look in {"fabric", "metal", "print"} - {args.look}:
            if not os.path.exists(os.path.join(textures, look)):
                program.synth(os.path.join(textures, look), "--look", look, "--seed", 9, "--train", 60, "--test-good", 1, "--test-per-defect", 1)
        rows = Rows("draem-peer")
        kind = f"{args.steps} steps, {args.size} px, width {args.width}{', sspcab' if args.sspcab else ''}"
        for name in [args.only] if args.only else ["anomalib", "blemish"]:
            found = []
            for seed in map(int, args.seeds.split(",")):
                found.append(peer(data, textures, seed) if name == "anomalib" else ours(program, data, textures, seed, folder))
                print(json.dumps({"name": name, "seed": seed, **{key: round(float(value), 4) for key, value in found[-1].items()}}), flush=True)
            for key, metric in [("image", NAMES["image"]), ("pixel", NAMES["pixel"])]:
                value, spread = mean_and_spread([one[key] for one in found], 100)
                print(f"{name:9} {metric:16} {value} ± {spread}")
                is_odd = name == "anomalib" and args.as_is
                rows.add(set=args.look, method="draem", variant=f"{kind}{', loss as is' if is_odd else ''}", metric=metric, value=value,
                         spread=spread, seeds=len(found), peer=name if name == "anomalib" else "")


if __name__ == "__main__":
    main()
