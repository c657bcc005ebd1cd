"""Golden values of EdgRec: edges, forward pass, loss, one step and both maps, by PyTorch and OpenCV.

usage: python make_edgrec.py edgrec.safetensors
       python make_edgrec.py --published FOLDER      the published width
needs: torch, numpy, opencv-python, safetensors (any CPU build)

Written out from the description of the network and of its released code; nothing is shared with blemish. `images` are scored, `edges` those
of them, `painted` what the network makes of these in evaluation mode before the step; `good` what it aims at in the step. Maps compare
`images` with `given`, in real numbers (`map.clean`) and in 8 bits by OpenCV (`map.compat`), whose colours of `lab.levels` are
`lab.opencv`. before.NAME and after.NAME are weights by the names of blemish, those after the step without biases in front of a
normalisation, whose gradient is rounding.

The step is to be compared in double precision: in single precision a few of the values before a ReLU change their sign by rounding,
which changes gradients by some percent.

Made with Python 3.11, torch 2.15.0, numpy 2.4.6, opencv 5.0.0, safetensors 0.8.0.
"""

import argparse
import os

import cv2
import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F


class Unit(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return F.relu(self.norm(self.conv(x)))


class Painter(nn.Module):
    def __init__(self, b):
        super().__init__()
        ends = [(1, b), (b, 2 * b), (2 * b, 4 * b), (4 * b, 8 * b), (8 * b, 8 * b)]
        self.down = nn.ModuleList([nn.ModuleList([Unit(i, o), Unit(o, o)]) for i, o in ends])
        ends = [(8 * b, 4 * b), (4 * b, 2 * b), (2 * b, b), (b, b)]
        self.up = nn.ModuleList([nn.ModuleList([Unit(i, i), Unit(i, i), Unit(i, o)]) for i, o in ends])
        self.out = nn.Conv2d(b, 3, 3, padding=1)

    def forward(self, x):
        seen = []
        for number, (first, second) in enumerate(self.down):
            x = second(first(F.max_pool2d(x, 2) if number else x))
            seen.append(x)
        for number, (up, first, second) in enumerate(self.up):
            x = up(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True))
            x = second(first(x + seen[3 - number]))
        return self.out(x)


def named(model):
    def unit(prefix, layer):
        yield f"{prefix}conv.weight", layer.conv.weight
        yield f"{prefix}conv.bias", layer.conv.bias
        yield f"{prefix}norm.gain", layer.norm.weight
        yield f"{prefix}norm.shift", layer.norm.bias
        yield f"{prefix}norm.mean", layer.norm.running_mean
        yield f"{prefix}norm.variance", layer.norm.running_var

    def walk():
        for number, stage in enumerate(model.down):
            for name, layer in zip(["first", "second"], stage):
                yield from unit(f"encoder.stages.{number}.{name}.", layer)
        for number, stage in enumerate(model.up):
            for name, layer in zip(["up", "pair.first", "pair.second"], stage):
                yield from unit(f"rises.{number}.{name}.", layer)
        yield "out.weight", model.out.weight
        yield "out.bias", model.out.bias

    return {name: value.detach().clone() for name, value in walk()}


def spread(model):
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, 0.0, (2.0 / layer.weight[0].numel()) ** 0.5)
            nn.init.normal_(layer.bias, 0.0, 0.1)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.2)
            nn.init.normal_(layer.bias, 0.0, 0.2)
            nn.init.normal_(layer.running_mean, 0.0, 0.2)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    model.float().double()


def edges(images):
    grey = 0.299 * images[:, 0:1] + 0.587 * images[:, 1:2] + 0.114 * images[:, 2:3]
    # Pooling pads with the lowest value there is.
    return F.max_pool2d(grey, 3, 1, 1) + F.max_pool2d(-grey, 3, 1, 1)


def similarity(x, y):
    at = torch.arange(11, dtype=x.dtype) - 5
    row = torch.exp(-(at**2) / (2 * 1.5**2))
    row = row / row.sum()
    window = (row[:, None] * row[None, :]).expand(3, 1, 11, 11)
    mean = lambda z: F.conv2d(z, window, padding=5, groups=3)
    mx, my = mean(x), mean(y)
    vx, vy, cxy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * mx * my + c1) * (2 * cxy + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))).mean()


def gradients(x):
    kernel = torch.tensor([[1.0, 0, -1], [1, 0, -1], [1, 0, -1]], dtype=x.dtype) / 3
    across = F.conv2d(x, kernel.expand(3, 1, 3, 3), padding=1, groups=3)
    down = F.conv2d(x, kernel.T.expand(3, 1, 3, 3), padding=1, groups=3)
    return (across**2 + down**2 + 1e-12).sqrt()


def gradient_term(x, y):
    found = []
    for scale in range(2):
        if scale:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        g, h = gradients(x), gradients(y)
        gms = (2 * g * h + 0.0026) / (g**2 + h**2 + 0.0026 + 1e-12)
        found.append(gms if not scale else F.interpolate(gms, scale_factor=2, mode="bilinear", align_corners=False))
    difference = (1 - sum(found) / 2).mean(1, keepdim=True)
    return F.conv2d(difference, torch.full((1, 1, 21, 21), 1 / 441, dtype=x.dtype), padding=10)


def lab(rgb):
    """a and b of CIELAB under D65 of sRGB values, ... x 3."""
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    matrix = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
    xyz = linear @ matrix.T / np.array([0.950456, 1.0, 1.088754])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def lab_levels(levels):
    return cv2.cvtColor(levels, cv2.COLOR_RGB2Lab)[..., 1:]


def opencv_colours():
    """Levels of colours, and OpenCV's a and b of them; its real numbers are near those of the formula."""
    levels = np.random.default_rng(3).integers(0, 181, (64, 32, 3)).astype(np.uint8)
    real = cv2.cvtColor(levels.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)[..., 1:]
    assert np.abs(lab(levels / 255.0) - real).max() < 0.5
    return {"lab.levels": torch.from_numpy(levels).float(), "lab.opencv": torch.from_numpy(lab_levels(levels)).float()}


def clean_term(x, y):
    colours = lambda image: lab((image.clamp(0, 1) * 180 / 255).permute(1, 2, 0).numpy())
    difference = ((colours(x) - colours(y)) ** 2).sum(-1).clip(max=255)
    return torch.from_numpy(cv2.blur(difference, (11, 11), borderType=cv2.BORDER_REFLECT_101)) * 0.001


def compat_term(x, y):
    # In single precision, where a value lies on this or that side of a level as it does in blemish.
    levels = lambda image: lab_levels((image.float() * 180).int().permute(1, 2, 0).numpy().astype(np.uint8))
    difference = levels(x) - levels(y)
    square = (difference[..., 0] * difference[..., 0] + difference[..., 1] * difference[..., 1]).astype(np.uint8)
    return torch.from_numpy(cv2.blur(square, (11, 11), borderType=cv2.BORDER_REFLECT_101).astype(np.float64)) * 0.001


def smooth(images, times=6):
    for _ in range(times):
        images = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="reflect"), 3, 1)
    low, high = images.amin(), images.amax()
    return ((images - low) / (high - low)).float().double()


def make(width, side, batch):
    model = Painter(width)
    spread(model)
    before = named(model)
    images = smooth(torch.rand(batch, 3, side, side).double())
    good = torch.rand(batch, 3, side, side).double().float().double()
    # Near the images, as a reconstruction is, with a part that is far off and values outside [0, 1].
    given = images + 0.05 * (smooth(torch.rand(batch, 3, side, side).double()) - 0.5)
    given[:, :, : side // 3, : side // 3] = torch.rand(batch, 3, 1, 1).double() * 1.2 - 0.1
    given = given.float().double()
    model.eval()
    with torch.no_grad():
        painted = model(edges(images))
    term = gradient_term(images, given)
    clean = torch.stack([clean_term(x, y) for x, y in zip(images, given)])[:, None]
    compat = torch.stack([compat_term(x, y) for x, y in zip(images, given)])[:, None]
    model.train()
    made = model(edges(images))
    loss = F.mse_loss(made, good) + 1 - similarity(made, good)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2, eps=1e-3)
    loss.backward()
    optimiser.step()
    after = {key: value for key, value in named(model).items() if not key.endswith("conv.bias")}
    found = {
        "images": images, "good": good, "given": given, "edges": edges(images), "painted": painted, "loss": loss.reshape(1),
        "map.clean": term + clean, "map.compat": term + compat,
    }
    found |= {f"before.{key}": value for key, value in before.items()} | {f"after.{key}": value for key, value in after.items()}
    found |= opencv_colours()
    return {name: value.detach().float().contiguous() for name, value in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?")
    parser.add_argument("--published", metavar="FOLDER")
    arguments = parser.parse_args()
    torch.manual_seed(9)
    if arguments.published:
        save_file(make(128, 32, 2), os.path.join(arguments.published, "edgrec.safetensors"))
    if arguments.file:
        save_file(make(2, 48, 2), arguments.file)


if __name__ == "__main__":
    main()
