"""anomalib's CFA, trained for a number of epochs and scored after the last one: accuracy, steps and time as one line of JSON.

    python benches/distance/cfa_peer.py SET WEIGHTS [--epochs 30] [--batch 4] [--seed 0] [--size 256] [--threads 1]

SET is a folder in MVTec AD layout, WEIGHTS a ResNet-18 state dict up to layer3 with batch norm folded in.

Model, loss and map are anomalib's own code, without its Engine: every image goes through the frozen backbone once, and training looks
its features up. The optimiser is the one that its module configures. No augmentation, the last incomplete batch of an epoch is kept
(as by anomalib's data module), no early stopping. For scores squared distances are kept at 0 at least, whose roots its code takes as
they come, rounded below 0 or not. AUPRO is up to a false positive rate of 0.3, exact. `train_cpu` and `train_wall` are
seconds in the epochs alone.

Made with Python 3.11, torch 2.15.0, anomalib 2.7.0, timm 1.0.31, scikit-learn 1.9.1, scipy 1.17.1.
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
parser.add_argument("set")
parser.add_argument("weights")
parser.add_argument("--epochs", type=int, default=30)
parser.add_argument("--batch", type=int, default=4)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--size", type=int, default=256)
parser.add_argument("--threads", type=int, default=1)
args = parser.parse_args()  # Before the libraries are loaded, which take seconds and may be missing.

BENCHES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
patchcore = runpy.run_path(os.path.join(BENCHES, "anomalib", "peer.py"))
sys.path.append(BENCHES)

import numpy
import torch
import torchvision
from blemish import NAMES, Rows
from measures import accuracy, image
from safetensors.torch import load_file
from torchvision.models.feature_extraction import create_feature_extractor

SIZE = (args.size, args.size)


def resnet18():
    """torchvision's network with the given weights; its norms become identities plus the folded biases."""
    network = torchvision.models.resnet18(weights=None)
    modules = dict(network.named_modules())
    for key, value in load_file(args.weights).items():
        name, kind = key.rsplit(".", 1)
        conv = name.replace("downsample.conv", "downsample.0")
        norm = conv.replace("conv1", "bn1").replace("conv2", "bn2").replace("downsample.0", "downsample.1")
        if kind == "weight":
            modules[conv].weight.data.copy_(value)
        else:
            modules[norm].weight.data.fill_(1)
            modules[norm].bias.data.copy_(value)
            modules[norm].running_mean.fill_(0)
            modules[norm].running_var.fill_(1 - modules[norm].eps)
    return create_feature_extractor(network, ["layer1", "layer2", "layer3"]).eval()


class Remembered(torch.nn.Module):
    """Stands in for the frozen backbone: takes, for each image, its number."""

    def __init__(self, backbone, paths):
        super().__init__()
        with torch.no_grad():
            found = [backbone(image(path, SIZE)[None]) for path in paths]
        self.features = {key: torch.cat([features[key] for features in found]) for key in found[0]}
        self.place = torch.nn.Parameter(torch.zeros(1), requires_grad=False)  # Asked for its device.

    def forward(self, images):
        return {key: value[images[:, 0, 0, 0]] for key, value in self.features.items()}


def numbers(indices):
    return indices.reshape(-1, 1, 1, 1).expand(-1, 3, *SIZE)


def cfa(backbone):
    import anomalib.models.image.cfa.torch_model as torch_model
    from anomalib.models import Cfa

    torch_model.get_feature_extractor = lambda *_: backbone
    return Cfa(backbone="resnet18", pre_processor=False, visualizer=False, evaluator=False, post_processor=False)


def train(module, count):
    optimiser, steps, losses = module.configure_optimizers(), 0, []
    module.train()
    for _ in range(args.epochs):
        losses.clear()
        for indices in torch.randperm(count).split(args.batch):
            loss = module.loss(module.model(numbers(indices)))
            optimiser.zero_grad()
            loss.backward(retain_graph=True)
            optimiser.step()
            losses.append(loss.item())
            steps += 1
    return steps, float(numpy.mean(losses))


random.seed(args.seed), numpy.random.seed(args.seed), torch.manual_seed(args.seed)
torch.set_num_threads(args.threads)
backbone = resnet18()
module = cfa(backbone)
paths = sorted(glob.glob(f"{args.set}/train/good/*"))
module.model.feature_extractor = Remembered(backbone, paths)
module.model.get_scale = lambda _: torch.Size([args.size // 4] * 2)  # A dry run would need the backbone; used for gamma_c > 1 alone.
loader = [types.SimpleNamespace(image=numbers(indices)) for indices in torch.arange(len(paths)).split(args.batch)]
start = patchcore["clock"]()
module.model.initialize_centroid(loader)
steps, loss = train(module, len(paths))
took = patchcore["since"](start)

module.model.feature_extractor = backbone
module.eval()
distances = module.model.compute_distance
module.model.compute_distance = lambda features: distances(features).clamp(min=0)
figures = accuracy(module.model, args.set, sorted(glob.glob(f"{args.set}/test/*/*")), args.batch, SIZE)
setting = {key: value for key, value in vars(args).items() if key not in ["set", "weights"]}
print(json.dumps({**setting, **figures, "steps": steps, "loss": loss, "train_cpu": took["cpu"], "train_wall": took["wall"]}))
rows = Rows("cfa-peer")
for kind, metric in NAMES.items():
    if figures[kind] is not None:
        figure = {"set": os.path.basename(args.set.rstrip("/")), "method": "cfa", "variant": f"{args.epochs} epochs", "peer": "anomalib"}
        rows.add(**figure, metric=metric, value=f"{100 * figures[kind]:.1f}", seeds=1, note=f"seed {args.seed}")
