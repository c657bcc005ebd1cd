"""Golden values of MNAD: an implementation of its own in PyTorch, from the paper's formulas in the form of the released code.

Makes mnad.safetensors: for both tasks at width 4 a batch of clips, what a training step makes of them (losses, the items of the memory and
all weights after it), and then what a frame of the first clip scores. Weights are not stored before the step: value number i of the tensor
called NAME is a whole-number formula of i and NAME, see `formula`. All runs in double precision.

EPSILON is of the size of the gradients: at PyTorch's own a first step goes by their signs alone, even where they are the noise of rounding.

    python make_mnad.py mnad.safetensors
    python make_mnad.py --published FOLDER

The second line writes the same at the published width of 64 to FOLDER/mnad.safetensors.

Made with Python 3.11, torch 2.15.0, numpy 2.4.6, safetensors 0.8.0.
"""

import sys

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional as F

RATE, EPSILON = 0.01, 1e-3
WEIGHT = {"prediction": 0.1, "reconstruction": 0.01}
FRAMES = {"prediction": 4, "reconstruction": 1}


def formula(name, count):
    """Values in [-1, 1) that need neither a file nor the same random generator."""
    phase = sum(name.encode())
    numbers = (np.arange(count, dtype=np.int64) * 7919 + phase * 104729) % 2003
    return torch.from_numpy((numbers / 2003 * 2 - 1).astype(np.float32)).double()


class Unit(nn.Module):
    def __init__(self, conv, normed=True):
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(conv.out_channels) if normed else None

    def forward(self, x):
        x = self.conv(x)
        return F.relu(self.norm(x)) if self.norm else x


def conv(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def up(inputs, outputs):
    return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)


class Mnad(nn.Module):
    def __init__(self, task, width):
        super().__init__()
        w = [width, 2 * width, 4 * width, 8 * width]
        skips = task == "prediction"
        self.skips = skips
        inputs = [3 * FRAMES[task]] + w[:3]
        self.encoder = nn.ModuleList(
            nn.ModuleDict({"first": Unit(conv(i, o)), "second": Unit(conv(o, o), normed=o < w[3])})
            for i, o in zip(inputs, w)
        )
        self.decoder = nn.ModuleList()
        for i, o, to in zip([16 * width, w[3], w[2], w[1]], [w[3], w[2], w[1], w[0]], [w[2], w[1], w[0], None]):
            parts = {"first": Unit(conv(i, o)), "second": Unit(conv(o, o))}
            if to:
                parts["up"] = Unit(up(o, to if skips else o))
            self.decoder.append(nn.ModuleDict(parts))
        self.last = conv(width, 3)

    def encode(self, x):
        skips = []
        for level, stage in enumerate(self.encoder):
            if level:
                skips.append(x)
                x = F.max_pool2d(x, 2)
            x = stage["second"](stage["first"](x))
        return x, skips

    def decode(self, x, skips):
        for level, stage in enumerate(self.decoder):
            if level and self.skips:
                x = torch.cat([skips.pop(), x], 1)
            x = stage["second"](stage["first"](x))
            if "up" in stage:
                x = stage["up"](x)
        return torch.tanh(self.last(x))

    def forward(self, x, items):
        """The frame that is made, the queries as rows, and what they are to the items."""
        f, skips = self.encode(x)
        b, c, h, w = f.shape
        q = F.normalize(f, dim=1)
        rows = q.permute(0, 2, 3, 1).reshape(-1, c)
        s = (rows @ items.T).detach()
        read = torch.softmax(s, 1) @ items
        read = read.reshape(b, h, w, c).permute(0, 3, 1, 2)
        return self.decode(torch.cat([q, read], 1), skips), rows, s


def losses(rows, s, items):
    order = s.topk(2, dim=1).indices
    first, second = items[order[:, 0]], items[order[:, 1]]
    return F.mse_loss(rows, first), F.triplet_margin_loss(rows, first, second, margin=1.0)


def updated(rows, s, items):
    """Item after item, query after query, as the paper writes it."""
    rows, new = rows.detach(), items.clone()
    over_queries = torch.softmax(s, dim=0)
    for m in range(len(items)):
        own = (s.argmax(1) == m).nonzero().flatten()
        if len(own):
            v = over_queries[own, m] / over_queries[:, m].max()
            new[m] = F.normalize(items[m] + (v[:, None] * rows[own]).sum(0), dim=0)
    return new


def load(model):
    """Values by the formula: uniform as PyTorch's own at their bounds, gains around 1, shifts around 0."""
    for name, parameter in model.named_parameters():
        values = formula(name, parameter.numel()).reshape(parameter.shape)
        if ".norm." in name:
            values = 0.2 * values + (1.0 if name.endswith("weight") else 0.0)
        else:
            weight = dict(model.named_parameters())[name.rsplit(".", 1)[0] + ".weight"]
            values = values / (weight.shape[1] * 9) ** 0.5
        parameter.data = values.float().double()


def case(task, width, batch, size):
    model = Mnad(task, width).double()
    load(model)
    count = 10
    items = F.normalize((formula(f"{task} items", count * 8 * width).reshape(count, -1) + 1) / 2, dim=1)
    items = items.float().double()
    frames = FRAMES[task]
    clips = (formula(f"{task} clips", batch * 3 * (frames + (frames > 1)) * size[0] * size[1]) + 1) / 2
    clips = clips.reshape(batch, -1, *size).float().double()
    x, target = 2 * clips[:, : 3 * frames] - 1, 2 * clips[:, -3:] - 1

    model.train()
    made, rows, s = model(x, items)
    pixels = F.mse_loss(made, target)
    compactness, separateness = losses(rows, s, items)
    loss = pixels + WEIGHT[task] * (compactness + separateness)
    after = updated(rows, s, items)
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE, eps=EPSILON)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()

    found = {
        "clips": clips, "items": items, "made": made, "losses": torch.stack([pixels, compactness, separateness, loss]),
        "items.after": after,
    }
    names = {"weight": "gain", "bias": "shift", "running_mean": "mean", "running_var": "variance"}
    for name, value in model.state_dict().items():
        if ".norm." in name:
            head, tail = name.rsplit(".", 1)
            if tail not in names:
                continue
            name = f"{head}.{names[tail]}"
        found[f"after.{name}"] = value

    model.eval()
    with torch.no_grad():
        made, rows, s = model(x[:1], after)
        errors = ((made + 1) / 2 - (target[:1] + 1) / 2) ** 2
        weights = 1 - torch.exp(-errors)
        weighted = (weights * errors).sum() / weights.sum()
        psnr = 10 * torch.log10(1 / errors.mean())
        compactness, _ = losses(rows, s, after)
        found["scored"] = made
        found["scores"] = torch.stack([psnr, compactness, weighted])
        found["items.scored"] = updated(rows, s, after)
    return {f"{task}.{name}": value for name, value in found.items()}


def main():
    published = sys.argv[1] == "--published"
    width, batch, size = (64, 1, (64, 64)) if published else (4, 2, (24, 16))
    path = f"{sys.argv[2]}/mnad.safetensors" if published else sys.argv[1]
    golden = {}
    for task in ("prediction", "reconstruction"):
        golden |= case(task, width, batch, size)
    save_file({name: np.ascontiguousarray(value.detach().float().numpy()) for name, value in golden.items()}, path)


main()
