"""Golden values of DDAD: U-Net, loss, a step, a conditioned reconstruction, distances and map, the extractor's loss and a step, by PyTorch.

usage: python make_ddad.py ddad.safetensors
       python make_ddad.py --published FOLDER      the published U-Net, 64 channels, and the published extractor
needs: torch, numpy, safetensors (any CPU build); torchvision with --published

Written out from the description of the network and of its released code; nothing is shared with blemish.

`noisy`, `times` and `noise` are a training batch, `predicted` what the network makes of it, `loss` the sum over pixels and channels, mean over
the batch; before.NAME and after.NAME are weights by the names of blemish around one step of Adam with an L2 penalty. `source` and `target`
lead to `made` by way of `draws`, one after another (start 250, 5 steps, eta 1, w 3), with the weights before the step. `given` is compared
with `target` in pixels (`pixels`), `maps.0.one` and so on are compared in features (`features`), `map` is made of both by the ratio of the
batch and blurred, `scores` are its maxima in the central 16 x 16. phi.NAME are weights of a small extractor of three convolutions, as it
starts (psi) and after one step of AdamW (phi.after.NAME); `phi.loss` compares `made` and `target`.

ddad_features.safetensors has `given`, `target`, what torchvision's WideResNet-101-2 with the random weights of ddad_extractor.safetensors
makes of them in its second and third stage (maps.0 and maps.1), and `pixels`, `features`, `map` (sigma 4) and `scores` (central 224 x 224) of
those.

Made with Python 3.11, torch 2.15.0, numpy 2.4.6, safetensors 0.8.0, torchvision 0.29.2.
"""

import argparse
import math
import os

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F


def groups_of(groups, channels):
    return max(g for g in range(1, min(groups, channels) + 1) if channels % g == 0)


class Residual(nn.Module):
    """Norm, SiLU, (half or double), conv; plus time; norm, SiLU, conv; beside a skip."""

    def __init__(self, inputs, outputs, time, groups, scale=None):
        super().__init__()
        self.first_norm = nn.GroupNorm(groups_of(groups, inputs), inputs)
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(time, outputs)
        self.second_norm = nn.GroupNorm(groups_of(groups, outputs), outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.scale = scale

    def change(self, x):
        if self.scale == "half":
            return F.avg_pool2d(x, 2)
        if self.scale == "double":
            return F.interpolate(x, scale_factor=2, mode="nearest")
        return x

    def forward(self, x, time):
        h = self.first(self.change(F.silu(self.first_norm(x))))
        h = h + self.time(F.silu(time))[:, :, None, None]
        h = self.second(F.silu(self.second_norm(h)))
        return self.skip(self.change(x)) + h


class Attention(nn.Module):
    def __init__(self, channels, heads, groups):
        super().__init__()
        self.norm = nn.GroupNorm(groups_of(groups, channels), channels)
        self.projections = nn.Conv1d(channels, 3 * channels, 1)
        self.output = nn.Conv1d(channels, channels, 1)
        self.heads = heads

    def forward(self, x):
        b, c, h, w = x.shape
        qkv = self.projections(self.norm(x).reshape(b, c, -1))
        d = c // self.heads
        q, k, v = qkv.reshape(b * self.heads, 3 * d, h * w).split(d, dim=1)
        scale = 1 / math.sqrt(math.sqrt(d))
        weight = torch.softmax(torch.einsum("bct,bcs->bts", q * scale, k * scale), dim=-1)
        seen = torch.einsum("bts,bcs->bct", weight, v).reshape(b, c, h * w)
        return x + self.output(seen).reshape(b, c, h, w)


class Stage(nn.Module):
    def __init__(self, block, attention=None):
        super().__init__()
        self.block = block
        self.attention = attention

    def forward(self, x, time):
        x = self.block(x, time)
        return self.attention(x) if self.attention is not None else x


class UNet(nn.Module):
    def __init__(self, width, multipliers, blocks, attention, heads, groups):
        super().__init__()
        time = 4 * width
        self.width = width
        self.first, self.second = nn.Linear(width, time), nn.Linear(time, time)
        self.input = nn.Conv2d(3, width, 3, padding=1)
        looks = lambda level, channels: Attention(channels, heads, groups) if level >= attention else None
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        running, skips = width, [width]
        for level, multiplier in enumerate(multipliers):
            stages = nn.ModuleList()
            for _ in range(blocks):
                stages.append(Stage(Residual(running, multiplier * width, time, groups), looks(level, multiplier * width)))
                running = multiplier * width
                skips.append(running)
            row = nn.ModuleDict({"stages": stages})
            if level + 1 < len(multipliers):
                row["next"] = Residual(running, running, time, groups, "half")
                skips.append(running)
            self.downs.append(row)
        self.middle = Stage(Residual(running, running, time, groups), Attention(running, heads, groups))
        self.last = Residual(running, running, time, groups)
        for level, multiplier in reversed(list(enumerate(multipliers))):
            stages = nn.ModuleList()
            for _ in range(blocks + 1):
                stages.append(Stage(Residual(running + skips.pop(), multiplier * width, time, groups), looks(level, multiplier * width)))
                running = multiplier * width
            row = nn.ModuleDict({"stages": stages})
            if level:
                row["next"] = Residual(running, running, time, groups, "double")
            self.ups.append(row)
        self.norm = nn.GroupNorm(groups_of(groups, running), running)
        self.output = nn.Conv2d(running, 3, 3, padding=1)

    def forward(self, x, times):
        half = self.width // 2
        rates = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float64) / half)
        angles = times[:, None].double() * rates[None]
        waves = torch.cat([angles.sin(), angles.cos()], 1).float().to(x.dtype)
        time = self.second(F.silu(self.first(waves)))
        x = self.input(x)
        seen = [x]
        for row in self.downs:
            for stage in row["stages"]:
                x = stage(x, time)
                seen.append(x)
            if "next" in row:
                x = row["next"](x, time)
                seen.append(x)
        x = self.last(self.middle(x, time), time)
        for row in self.ups:
            for stage in row["stages"]:
                x = stage(torch.cat([x, seen.pop()], 1), time)
            if "next" in row:
                x = row["next"](x, time)
        return self.output(F.silu(self.norm(x)))


def named(model):
    """Weights by the names of blemish: matrices are transposed, 1d convolutions are 2d ones."""
    linear = {id(layer.weight) for layer in model.modules() if isinstance(layer, nn.Linear)}
    found = {}
    for name, value in model.named_parameters():
        is_linear = id(value) in linear
        parts = name.split(".")
        if "norm" in parts[-2]:
            parts[-1] = {"weight": "gain", "bias": "shift"}[parts[-1]]
        if parts[0] in ("first", "second"):
            parts = ["time", *parts]
        value = value.detach().clone()
        value = value.T if is_linear else value
        value = value[..., None] if value.dim() == 3 else value
        found[".".join(parts)] = value
    return found


def spread(model, seed):
    """Weights as a training may leave them: nothing is zero."""
    random = torch.Generator().manual_seed(seed)
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Conv1d, nn.Linear)):
            layer.weight.data = torch.randn(layer.weight.shape, generator=random) / layer.weight[0].numel() ** 0.5
            layer.bias.data = 0.1 * torch.randn(layer.bias.shape, generator=random)
        elif isinstance(layer, nn.GroupNorm):
            layer.weight.data = 1 + 0.2 * torch.randn(layer.weight.shape, generator=random)
            layer.bias.data = 0.2 * torch.randn(layer.bias.shape, generator=random)


def shares():
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    return torch.cumprod(1 - betas, 0)


def reconstruct(model, source, target, draws, start=250, skip=50, eta=1.0, w=3.0):
    a = shares()
    draws = iter(draws)
    x = a[start].sqrt() * source + (1 - a[start]).sqrt() * next(draws)
    times = list(range(start - skip, -1, -skip))
    for t in times:
        now, after = a[t], a[t - skip] if t - skip >= 0 else torch.tensor(1.0, dtype=torch.float64)
        e = model(x, torch.full((len(x),), float(t)))
        noised = now.sqrt() * target + (1 - now).sqrt() * e
        bent = e - w * (1 - now).sqrt() * (noised - x)
        clean = (x - (1 - now).sqrt() * bent) / now.sqrt()
        c1 = eta * ((1 - now / after) * (1 - after) / (1 - now)).sqrt()
        c2 = (1 - after - c1**2).clamp_min(0).sqrt()
        x = after.sqrt() * clean + c2 * bent
        if t > 0:
            x = x + c1 * next(draws)
    return x


def compare(maps, size):
    total = 0
    for one, other in maps:
        one, other = (F.avg_pool2d(x, 3, 1, 1, count_include_pad=True) for x in (one, other))
        off = 1 - F.cosine_similarity(one, other, dim=1, eps=1e-8)
        total = total + F.interpolate(off[:, None], size=size, mode="bilinear", align_corners=True)
    return total


def blurred(x, sigma):
    at = torch.arange(-int(4 * sigma + 0.5), int(4 * sigma + 0.5) + 1, dtype=x.dtype)
    line = torch.exp(-0.5 * (at / sigma) ** 2)
    line = (line / line.sum())[None, None]
    reach = len(at) // 2
    x = F.conv2d(F.pad(x, (reach, reach, 0, 0), mode="reflect"), line[:, :, None])
    return F.conv2d(F.pad(x, (0, 0, reach, reach), mode="reflect"), line[..., None])


def differences(given, target, maps, how):
    """The distances of images and of their features, the map of both, and its largest values in the centre."""
    factor, sigma, crop = how
    side = given.shape[-1]
    pixels = (given - target).abs().mean(1, keepdim=True)
    features = compare(maps, (side, side))
    mixed = blurred(features + factor * features.max() / pixels.max() * pixels, sigma)
    low, high = (side - crop) // 2, (side + crop) // 2
    found = {"pixels": pixels, "features": features, "map": mixed, "scores": mixed[:, :, low:high, low:high].amax(dim=(1, 2, 3))}
    for number, (one, other) in enumerate(maps):
        found |= {f"maps.{number}.one": one, f"maps.{number}.other": other}
    return found


class Extractor(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(i, o, 3, stride=2, padding=1) for i, o in [(3, 4), (4, 6), (6, 8)]])

    def forward(self, x):
        found = []
        for layer in self.layers:
            x = F.relu(layer(x))
            found.append(x)
        return found


def adaptation_loss(phi, psi, made, target, distillation):
    cosine = lambda a, b: F.cosine_similarity(a.flatten(1), b.flatten(1), dim=1).mean()
    total = 0
    for own_made, own_target, first_made, first_target in zip(phi(made), phi(target), psi(made), psi(target)):
        total = total + (1 - cosine(own_made, own_target))
        total = total + distillation * (1 - cosine(own_target, first_target)) + distillation * (1 - cosine(own_made, first_made))
    return total


def make(shape, side, batch, whole):
    model = UNet(*shape)
    spread(model, 5)
    model = model.double()
    random = torch.Generator().manual_seed(6)
    normal = lambda *size: torch.randn(size, generator=random).double()
    noisy, noise = normal(batch, 3, side, side), normal(batch, 3, side, side)
    times = torch.tensor([3.0, 411.0, 980.0][:batch])
    with torch.no_grad():
        predicted = model(noisy, times)
    found = {"noisy": noisy, "noise": noise, "times": times, "predicted": predicted}
    found |= {f"before.{name}": value for name, value in named(model).items()}
    source, target = normal(batch, 3, side, side).tanh(), normal(batch, 3, side, side).tanh()
    draws = [normal(batch, 3, side, side) for _ in range(5)]
    with torch.no_grad():
        made = reconstruct(model, source, target, draws)
    found |= {"source": source, "target": target, "made": made} | {f"draws.{n}": draw for n, draw in enumerate(draws)}
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=0.05, eps=1e-3)
    loss = ((model(noisy, times) - noise) ** 2).sum(dim=(1, 2, 3)).mean()
    loss.backward()
    optimiser.step()
    found |= {"loss": loss.reshape(1)} | {f"after.{name}": value for name, value in named(model).items()}
    if whole:
        given = (target + 0.1 * normal(batch, 3, side, side)).float().double()
        maps = [[normal(batch, c, side // s, side // s) for _ in range(2)] for c, s in [(5, 4), (7, 8)]]
        found |= {"given": given} | differences(given, target, maps, (0.7, 1.5, 16))
        torch.manual_seed(7)
        psi, phi = Extractor().double(), Extractor().double()
        # What has been trained for a while: otherwise there is nothing to distil.
        for own, first in zip(phi.parameters(), psi.parameters()):
            own.data = first.data + 0.05 * torch.randn_like(first)
        of = lambda model: {name: value.detach().clone() for name, value in model.named_parameters()}
        found |= {f"psi.{name}": value for name, value in of(psi).items()} | {f"phi.before.{name}": value for name, value in of(phi).items()}
        optimiser = torch.optim.AdamW(phi.parameters(), lr=1e-2, eps=1e-3)
        loss = adaptation_loss(phi, psi, made.float().double(), target.float().double(), 0.1)
        loss.backward()
        optimiser.step()
        found |= {"phi.loss": loss.reshape(1)} | {f"phi.after.{name}": value for name, value in of(phi).items()}
    return {name: value.detach().float().contiguous() for name, value in found.items()}


def published_features(folder, side=256):
    """What the published extractor makes of two images and of what differs a little from them."""
    from torchvision.models import wide_resnet101_2

    torch.manual_seed(8)
    network = wide_resnet101_2()
    coarse = torch.randn(2, 3, side // 8, side // 8)
    target = (F.interpolate(coarse, size=(side, side), mode="bicubic") + 0.2 * torch.randn(2, 3, side, side)).tanh()
    given = target + 0.1 * torch.randn(2, 3, side, side)
    mean, deviation = (torch.tensor(of)[:, None, None] for of in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    # Moments of normalisations as images leave them: otherwise values grow from block to block. And blocks that change their input a little,
    # as trained ones do: with gains of 1, rounding grows fortyfold in the 23 blocks of the third stage, in PyTorch as well.
    for name, layer in network.named_modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
            if name.endswith("bn3"):
                layer.weight.data.fill_(0.2)
    with torch.no_grad():
        network.train()(((target + 1) / 2 - mean) / deviation)
    save_file(network.state_dict(), os.path.join(folder, "ddad_extractor.safetensors"))
    network = network.double().eval()

    def stages(images):
        x = ((images.double() + 1) / 2 - mean) / deviation
        x = network.layer1(network.maxpool(network.relu(network.bn1(network.conv1(x)))))
        second = network.layer2(x)
        return second, network.layer3(second)

    with torch.no_grad():
        maps = list(zip(stages(given), stages(target)))
    found = {"given": given, "target": target} | differences(given.double(), target.double(), maps, (1.0, 4.0, 224))
    save_file({name: value.float().contiguous() for name, value in found.items()}, os.path.join(folder, "ddad_features.safetensors"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?")
    parser.add_argument("--published", metavar="FOLDER")
    arguments = parser.parse_args()
    if arguments.published:
        published = (64, (1, 1, 2, 2, 4, 4), 2, 3, 4, 32)
        count = sum(value.numel() for value in UNet(*published).parameters())
        assert count == 32_952_707, count
        save_file(make(published, 64, 1, False), os.path.join(arguments.published, "ddad.safetensors"))
        published_features(arguments.published)
    if arguments.file:
        save_file(make((4, (1, 2), 1, 1, 2, 2), 24, 2, True), arguments.file)


if __name__ == "__main__":
    main()
