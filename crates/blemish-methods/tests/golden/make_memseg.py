"""Golden values of MemSeg: selection, differences, fusion, decoder, losses and one training step, written from the paper in PyTorch.

    python make_memseg.py memseg.safetensors            a tiny network of each variant, for the test suite
    python make_memseg.py --published FOLDER            the published widths, too large to keep: FOLDER/memseg-published.safetensors

All runs in double precision on weights and inputs that single precision holds exactly. The test of the published widths reads the folder
that BLEMISH_GOLDEN_PUBLISHED names.

CASE.in.stem, CASE.in.level.L      frozen features of a batch
CASE.memory.L                      those of the memory's images
CASE.w.NAME                        weights, by the names of the network in Rust
CASE.masks                         true masks
CASE.items                         the memory image found for each image and level
CASE.spatial.L, CASE.fused.L       M_l; F_l M_l
CASE.logits, CASE.l1, CASE.focal, CASE.loss
CASE.scored                        logits with stored moments, before the step
CASE.after.NAME                    weights and moments after one step of AdamW

Adam's epsilon is 1e-5 here: the gradient of a bias before a batch normalisation is zero but for rounding, which the usual 1e-8 would blow
up into a step.

Made with Python 3.11, torch 2.15.0, numpy 2.4.6, safetensors 0.8.0.
"""

import sys

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional as F

RATE, DECAY, EPSILON = 3e-3, 5e-4, 1e-5


def single(tensor):
    return tensor.float().double()


class Named(nn.Module):
    """Keeps pairs of a name in Rust and a module."""

    def __init__(self):
        super().__init__()
        self.pairs = []

    def conv(self, name, inputs, outputs, kernel=3, stride=1, bias=True):
        module = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias)
        self.add_module(name.replace(".", "_"), module)
        self.pairs.append((name, module))
        return module

    def norm(self, name, channels):
        module = nn.BatchNorm2d(channels)
        self.add_module(name.replace(".", "_"), module)
        self.pairs.append((name, module))
        return module

    def unit(self, name, inputs, outputs, is_normed=True, activation=F.relu, **options):
        conv = self.conv(f"{name}.conv.Plain", inputs, outputs, **options)
        if not is_normed:
            return conv
        norm = self.norm(f"{name}.norm", outputs)
        return lambda x: activation(norm(conv(x)))


def up(x, size):
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


class MemSeg(Named):
    def __init__(self, stem, levels, width, fragments):
        super().__init__()
        self.fragments = fragments
        deepest = levels[-1]
        self.blocks = []
        same = lambda x: x
        for number, (inputs, stride) in enumerate([(deepest, 2), (2 * deepest, 1)]):
            name = f"last_stage.Own.{number}"
            outputs = 2 * deepest
            first = self.unit(f"{name}.first", inputs, outputs, stride=stride, bias=False)
            second = self.unit(f"{name}.second", outputs, outputs, bias=False, activation=same)
            shortcut = same
            if number == 0:
                shortcut = self.unit(f"{name}.shortcut", inputs, outputs, kernel=1, stride=stride, bias=False, activation=same)
            self.blocks.append((first, second, shortcut))
        self.levels = []
        for number, channels in enumerate(levels):
            name, both = f"fusion.levels.{number}", 2 * channels
            narrow = max(8, both // 32)
            self.levels.append(dict(
                enter=self.unit(f"{name}.enter", both, both, fragments),
                squeeze=self.unit(f"{name}.attention.squeeze", both, narrow, kernel=1, activation=F.hardswish),
                rows=self.conv(f"{name}.attention.rows", narrow, both, 1),
                columns=self.conv(f"{name}.attention.columns", narrow, both, 1),
                narrow=self.unit(f"{name}.narrow", both, channels, fragments),
                leave=self.unit(f"{name}.leave", channels, channels, fragments),
            ))
        self.down = [self.conv(f"fusion.down.{number}", levels[number + 1], levels[number]) for number in range(len(levels) - 1)]
        # The decoder: (enlarge and convolve, what joins, two more units), deep to shallow.
        self.steps, channels, number = [], 2 * deepest, 0

        def step(own, joined, outputs):
            nonlocal channels, number
            enlarge = self.unit(f"decoder.up.{number}", channels, own)
            more = []
            if fragments:
                more = [
                    self.unit(f"decoder.merge.{number}.0", own + joined, outputs),
                    self.unit(f"decoder.merge.{number}.1", outputs, outputs),
                ]
            self.steps.append((enlarge, more))
            channels = outputs if fragments else own + joined
            number += 1

        for skip in reversed(levels):
            step(skip, skip, skip)
        if fragments:
            step(2 * width // 3, stem, width)
            step(width, 0, width // 2)
            self.stem = lambda x: x
        else:
            step(width, width, width)
            self.stem = self.conv("decoder.stem", stem, width)
            step(width, 0, width)
        self.leave = self.conv("decoder.leave", channels, 2)

    def compare(self, features, memory):
        """features: a list of B x C x H x W, memory: the same of N images."""
        distances = [((f[:, None] - m[None]) ** 2).flatten(2).mean(2) for f, m in zip(features, memory)]
        if self.fragments:
            items = [d.argmin(1) for d in distances]
            differences = [(f - m[i]).abs() for f, m, i in zip(features, memory, items)]
        else:
            joint = sum(distances).argmin(1)
            items = [joint] * len(features)
            differences = [(f - m[i]) ** 2 for f, m, i in zip(features, memory, items)]
        means = [d.mean(1, keepdim=True) for d in differences]
        maps = [means[-1]]
        for level in range(len(means) - 2, -1, -1):
            size = means[level].shape[2:]
            if self.fragments:
                product = means[level]
                for deeper in means[level + 1:]:
                    product = product * up(deeper, size)
            else:
                product = means[level] * up(maps[0], size)
            maps.insert(0, product)
        information = [torch.cat([f, d], 1) for f, d in zip(features, differences)]
        return torch.stack(items, 1), information, maps

    def fuse(self, information, maps):
        fused = []
        for number in reversed(range(len(information))):
            level, x = self.levels[number], information[number]
            height = x.shape[2]
            line = torch.cat([x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)], 2)
            line = level["squeeze"](line)
            rows = torch.sigmoid(level["rows"](line[:, :, :height]))
            columns = torch.sigmoid(level["columns"](line[:, :, height:])).transpose(2, 3)
            attention = rows * columns if self.fragments else x * rows * columns
            k = level["leave"](level["narrow"](level["enter"](x) * attention))
            if fused:
                k = k + self.down[number](up(fused[0], x.shape[2:]))
            fused.insert(0, k)
        return [f * m for f, m in zip(fused, maps)]

    def forward(self, stem, features, memory, size):
        items, information, maps = self.compare(features, memory)
        fused = self.fuse(information, maps)
        x = features[-1]
        for first, second, shortcut in self.blocks:
            x = F.relu(second(first(x)) + shortcut(x))
        skips = list(reversed(fused)) + [self.stem(stem), None]
        for (enlarge, more), skip in zip(self.steps, skips):
            x = enlarge(up(x, size if skip is None else skip.shape[2:]))
            if skip is not None:
                x = torch.cat([x, skip], 1)
            for unit in more:
                x = unit(x)
        return items, maps, fused, self.leave(x)

    def weights(self):
        found = {}
        for name, module in self.pairs:
            if isinstance(module, nn.Conv2d):
                found[f"{name}.weight"] = module.weight
                if module.bias is not None:
                    found[f"{name}.bias"] = module.bias
            else:
                found[f"{name}.gain"], found[f"{name}.shift"] = module.weight, module.bias
                found[f"{name}.mean"], found[f"{name}.variance"] = module.running_mean, module.running_var
        return {name: tensor.detach().clone() for name, tensor in found.items()}


def losses(logits, masks, smoothing):
    p = torch.softmax(logits, 1)
    l1 = (p[:, 1:] - masks).abs().mean()
    truth = torch.cat([1 - masks, masks], 1).clamp(smoothing, 1 - smoothing)
    focal = (-((1 - p) ** 4) * truth * (p + smoothing).log()).sum(1).mean()
    return l1, focal, 0.6 * l1 + 0.4 * focal


def case(golden, name, stem, levels, width, side, batch, images, fragments, is_large):
    store = lambda key, tensor: golden.__setitem__(f"{name}.{key}", np.ascontiguousarray(tensor.detach().float().numpy()))
    net = MemSeg(stem, levels, width, fragments).double()
    with torch.no_grad():
        for _, module in net.pairs:
            if isinstance(module, nn.BatchNorm2d):
                module.weight.normal_(1.0, 0.1)
                module.bias.normal_(0.0, 0.1)
                module.running_mean.normal_(0.0, 0.2)
                module.running_var.uniform_(0.5, 1.5)
        for tensor in list(net.parameters()) + list(net.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(single(tensor))
    features = lambda count: [single(F.relu(torch.randn(count, c, side >> (2 + at), side >> (2 + at)).double())) for at, c in enumerate(levels)]
    memory, seen = features(images), features(batch)
    f0 = single(F.relu(torch.randn(batch, stem, side // 2, side // 2).double()))
    masks = torch.zeros(batch, 1, side, side, dtype=torch.float64)
    masks[1:, :, side // 4: side // 2, side // 8: side // 2] = 1
    if not is_large or not fragments:
        for at, (s, m) in enumerate(zip(seen, memory)):
            store(f"in.level.{at}", s)
            store(f"memory.{at}", m)
        store("in.stem", f0)
    store("masks", masks)
    for key, tensor in net.weights().items():
        store(f"w.{key}", tensor)
    net.eval()
    with torch.no_grad():
        store("scored", net(f0, seen, memory, (side, side))[3])
    net.train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY, eps=EPSILON)
    items, maps, fused, logits = net(f0, seen, memory, (side, side))
    l1, focal, loss = losses(logits, masks, 1e-4 if fragments else 1e-5)
    loss.backward()
    optimiser.step()
    golden[f"{name}.items"] = items.numpy().astype(np.uint32)
    for at, (m, f) in enumerate(zip(maps, fused)):
        store(f"spatial.{at}", m)
        store(f"fused.{at}", f)
    store("logits", logits)
    for key, value in [("l1", l1), ("focal", focal), ("loss", loss)]:
        store(key, value.reshape(1))
    for key, tensor in net.weights().items():
        store(f"after.{key}", tensor)
    print(name, "parameters", sum(p.numel() for p in net.parameters()), "loss", float(loss), "items", items.tolist())


def main():
    torch.manual_seed(11)
    golden = {}
    if sys.argv[1] == "--published":
        target = f"{sys.argv[2]}/memseg-published.safetensors"
        case(golden, "published", 64, [64, 128, 256], 48, 256, 2, 4, False, True)
    else:
        target = sys.argv[1]
        case(golden, "reimplementation", 3, [4, 5, 6], 6, 32, 3, 4, False, False)
        case(golden, "fragments", 3, [4, 5, 6], 6, 32, 3, 4, True, False)
    save_file(golden, target)
    print(target, sum(value.nbytes for value in golden.values()) // 1000, "kB")


main()
