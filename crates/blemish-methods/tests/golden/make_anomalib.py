"""Golden values of anomalib 2.7.0's own model code for PatchCore and PaDiM, given features.

usage: python make_anomalib.py anomalib.safetensors
needs: anomalib==2.7.0, torch, safetensors (any CPU build)

The feature extractor is replaced by random feature maps, so only the methods' own arithmetic is compared: aggregation, neighbours,
re-weighting, Gaussians, distances, map resizing and blur. Bank and channel list are anomalib's own and stored with the features.
"""

import sys

import torch
from safetensors.torch import save_file
import timm

create = timm.create_model
timm.create_model = lambda *args, **kwargs: create(*args, **{**kwargs, "pretrained": False})

from anomalib.models.image.padim.torch_model import PadimModel  # noqa: E402
from anomalib.models.image.patchcore.torch_model import PatchcoreModel  # noqa: E402

torch.manual_seed(0)
out = {}
SIZE = 64


def features(count, sizes):
    """Smooth non-negative maps with structure over positions, like those behind a ReLU."""
    maps = {}
    for name, (channels, side) in sizes.items():
        base = torch.rand(1, channels, side, side) * 3
        maps[name] = torch.relu(base + torch.randn(count, channels, side, side) * 0.5)
    return maps


class Given(torch.nn.Module):
    """Returns the feature maps it was given, whatever the image."""

    def __init__(self, maps):
        super().__init__()
        self.maps = maps

    def forward(self, _):
        return dict(self.maps)


# PatchCore: layer2 stride 4, layer3 stride 8 of a 64x64 input, 12 and 20 channels, 4 training and 3 test images.
sizes = {"layer2": (12, 16), "layer3": (20, 8)}
train, test = features(4, sizes), features(3, sizes)
test["layer2"][1, :, 3:6, 7:9] += 4
model = PatchcoreModel(layers=["layer2", "layer3"], backbone="resnet18", pre_trained=False)
model.train()
model.feature_extractor = Given(train)
model(torch.zeros(4, 3, SIZE, SIZE))
model.subsample_embedding(0.05)
model.eval()
model.feature_extractor = Given(test)
result = model(torch.zeros(3, 3, SIZE, SIZE))
out["patchcore.bank"] = model.memory_bank
out["patchcore.map"] = result.anomaly_map[:, 0]
out["patchcore.score"] = result.pred_score.flatten()
out |= {f"patchcore.test.{name}": value for name, value in test.items()}

# PaDiM: three layers, 12 of 30 channels drawn, 8 training images (fewer than dimensions: only epsilon carries the rest).
sizes = {"layer1": (6, 16), "layer2": (10, 8), "layer3": (14, 4)}
train, test = features(8, sizes), features(3, sizes)
test["layer1"][2, :, 9:12, 2:5] += 2
model = PadimModel(backbone="resnet18", layers=list(sizes), pre_trained=False)
model.idx = torch.randperm(30)[:12]
model.train()
model.feature_extractor = Given(train)
model(torch.zeros(8, 3, SIZE, SIZE))
model.fit()
model.eval()
model.feature_extractor = Given(test)
result = model(torch.zeros(3, 3, SIZE, SIZE))
out["padim.channels"] = model.idx.to(torch.int32)
out["padim.map"] = result.anomaly_map[:, 0]
out["padim.score"] = result.pred_score.flatten()
out |= {f"padim.train.{name}": value for name, value in train.items()}
out |= {f"padim.test.{name}": value for name, value in test.items()}

save_file({name: value.contiguous().clone() for name, value in out.items()}, sys.argv[1])
for name, value in out.items():
    print(name, tuple(value.shape))
