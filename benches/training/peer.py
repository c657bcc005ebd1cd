"""PyTorch's side of `train_speed.py`: trains one network and prints steps per wall and per CPU second as one line of JSON.

    python benches/training/peer.py [--network draem|vae|mnad] [--threads 1] [--steps 5] [--warm-up 2]

draem     both networks of DRAEM, 16 channels wide, 8 images of 256 pixels, squared error + SSIM + focal loss; Adam 1e-4
vae       the variational autoencoder of 128 pixels and 128 latent values, 32 images; Adam 1e-3
mnad      MNAD's reconstruction network with its memory of 10 items, 16 channels wide, 4 images of 256 pixels; Adam 2e-4

A step is forward, losses, backward and Adam's update. The CPU time is that of user and system, all threads. Made with torch 2.15.0.
"""

import argparse
import json
import os
import resource
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--network", choices=["draem", "vae", "mnad"], default="draem")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--steps", type=int, default=5)
parser.add_argument("--warm-up", type=int, default=2)
parser.add_argument("--profile", action="store_true", help="print where the time goes instead")
args = parser.parse_args()  # Before PyTorch is loaded, which takes seconds and may be missing.

import torch
from torch import nn
from torch.nn import functional as F


def unit(inputs, outputs):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def pair(inputs, middle, outputs):
    return nn.Sequential(unit(inputs, middle), unit(middle, outputs))


def twice(x):
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class Reconstructive(nn.Module):
    def __init__(self, w):
        super().__init__()
        widths = [3, w, 2 * w, 4 * w, 8 * w, 8 * w]
        self.down = nn.ModuleList(pair(i, o, o) for i, o in zip(widths, widths[1:]))
        ends = [8 * w, 4 * w, 2 * w, w, w]
        self.up = nn.ModuleList(nn.ModuleList([unit(i, i), pair(i, i, o)]) for i, o in zip(ends, ends[1:]))
        self.out = nn.Conv2d(w, 3, 3, padding=1)

    def forward(self, x):
        for stage, layer in enumerate(self.down):
            x = layer(F.max_pool2d(x, 2) if stage else x)
        for first, rest in self.up:
            x = rest(first(twice(x)))
        return self.out(x)


class Discriminative(nn.Module):
    def __init__(self, w):
        super().__init__()
        widths = [6, w, 2 * w, 4 * w, 8 * w, 8 * w, 8 * w]
        self.down = nn.ModuleList(pair(i, o, o) for i, o in zip(widths, widths[1:]))
        ends = [8 * w, 8 * w, 4 * w, 2 * w, w, w]
        skips = [8 * w, 8 * w, 4 * w, 2 * w, w]
        self.up = nn.ModuleList(nn.ModuleList([unit(i, o), pair(o + s, o, o)]) for i, o, s in zip(ends, ends[1:], skips))
        self.out = nn.Conv2d(w, 2, 3, padding=1)

    def forward(self, x):
        skips = []
        for stage, layer in enumerate(self.down):
            x = layer(F.max_pool2d(x, 2) if stage else x)
            skips.append(x)
        skips.pop()
        for first, rest in self.up:
            x = rest(torch.cat([first(twice(x)), skips.pop()], 1))
        return self.out(x)


def ssim(x, y):
    at = torch.arange(11.0) - 5
    row = torch.exp(-0.5 * (at / 1.5) ** 2)
    row = row / row.sum()
    window = (row[:, None] * row[None]).expand(3, 1, 11, 11).contiguous()
    smooth = lambda m: F.conv2d(m, window, padding=5, groups=3)
    mx, my = smooth(x), smooth(y)
    vx, vy, c = smooth(x * x) - mx * mx, smooth(y * y) - my * my, smooth(x * y) - mx * my
    return ((2 * mx * my + 1e-4) * (2 * c + 9e-4) / ((mx * mx + my * my + 1e-4) * (vx + vy + 9e-4))).mean()


class Draem(nn.Module):
    def __init__(self):
        super().__init__()
        self.rec, self.disc = Reconstructive(16), Discriminative(16)

    def loss(self, clean, spoilt, mask):
        repaired = self.rec(spoilt)
        p = self.disc(torch.cat([repaired, spoilt], 1)).softmax(1)
        truth = torch.cat([1 - mask, mask], 1).clamp(1e-5, 1 - 1e-5)
        q = (truth * p).sum(1) + 1e-5
        return F.mse_loss(repaired, clean) + 1 - ssim(repaired, clean) - ((1 - q) ** 2 * q.log()).mean()


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        down = [3, 32, 64, 128, 256, 512]
        norm = lambda conv, outputs, last: nn.Sequential(conv, nn.BatchNorm2d(outputs), last)
        self.encoder = nn.Sequential(*[norm(nn.Conv2d(i, o, 4, 2, 1, bias=False), o, nn.LeakyReLU(0.2, inplace=True)) for i, o in zip(down, down[1:])])
        self.mean, self.log_variance, self.start = nn.Linear(8192, 128), nn.Linear(8192, 128), nn.Linear(128, 8192)
        up = [512, 256, 128, 64, 32]
        self.decoder = nn.Sequential(*[norm(nn.ConvTranspose2d(i, o, 4, 2, 1, bias=False), o, nn.ReLU(inplace=True)) for i, o in zip(up, up[1:])])
        self.out = nn.ConvTranspose2d(32, 3, 4, 2, 1)
        nn.init.zeros_(self.log_variance.weight), nn.init.constant_(self.log_variance.bias, -2.0)

    def loss(self, x, noise):
        h = self.encoder(x).flatten(1)
        m, l = self.mean(h), self.log_variance(h)
        y = self.out(self.decoder(self.start(m + (l / 2).exp() * noise).reshape(-1, 512, 4, 4))).sigmoid()
        kl = 0.5 * (m * m + l.exp() - l - 1).sum(1).mean()
        return x[0].numel() / 2 * (F.mse_loss(y, x) + 1e-6).log() + kl


class Mnad(nn.Module):
    def __init__(self, w=16):
        super().__init__()
        last = nn.Sequential(unit(4 * w, 8 * w), nn.Conv2d(8 * w, 8 * w, 3, padding=1))
        self.down = nn.ModuleList([pair(3, w, w), pair(w, 2 * w, 2 * w), pair(2 * w, 4 * w, 4 * w), last])
        widths = [16 * w, 8 * w, 4 * w, 2 * w]
        raised = lambda c: nn.Sequential(nn.ConvTranspose2d(c, c, 3, 2, 1, 1), nn.BatchNorm2d(c), nn.ReLU(inplace=True))
        self.up = nn.ModuleList(nn.Sequential(pair(i, o, o), raised(o)) for i, o in zip(widths, [8 * w, 4 * w, 2 * w]))
        self.end, self.out = pair(2 * w, w, w), nn.Conv2d(w, 3, 3, padding=1)
        self.register_buffer("items", F.normalize(torch.rand(10, 8 * w), dim=1))

    def loss(self, x):
        y = x
        for stage, layer in enumerate(self.down):
            y = layer(F.max_pool2d(y, 2) if stage else y)
        q = F.normalize(y, dim=1)
        rows = q.permute(0, 2, 3, 1).reshape(-1, q.shape[1])
        with torch.no_grad():
            likeness = rows @ self.items.T
            read = likeness.softmax(1) @ self.items
            nearest = likeness.topk(2, 1).indices
        near, second = self.items[nearest[:, 0]], self.items[nearest[:, 1]]
        compact, separate = F.mse_loss(rows, near), F.triplet_margin_loss(rows, near, second)
        b, c, h, v = q.shape
        y = torch.cat([q, read.reshape(b, h, v, c).permute(0, 3, 1, 2)], 1)
        for layer in self.up:
            y = layer(y)
        y = self.out(self.end(y)).tanh()
        return F.mse_loss(y, x) + 0.01 * compact + 0.01 * separate


def task(name):
    """The network, what its loss takes, and Adam's rate."""
    if name == "draem":
        mask = torch.zeros(8, 1, 256, 256)
        mask[:, :, 64:128, 64:128] = 1
        clean = torch.rand(8, 3, 256, 256)
        return Draem(), (clean, clean + 0.3 * mask, mask), 1e-4
    if name == "vae":
        return Vae(), (torch.rand(32, 3, 128, 128), torch.randn(32, 128)), 1e-3
    return Mnad(), (torch.rand(4, 3, 256, 256) * 2 - 1,), 2e-4


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


torch.set_num_threads(args.threads)
torch.manual_seed(0)
network, inputs, rate = task(args.network)
optimiser = torch.optim.Adam(network.parameters(), lr=rate)


def step():
    optimiser.zero_grad()
    loss = network.loss(*inputs)
    loss.backward()
    optimiser.step()
    return loss.item()


for _ in range(args.warm_up):
    first = step()
if args.profile:
    with torch.profiler.profile() as profile:
        step()
    print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=25))
    os._exit(0)
wall, used = time.perf_counter(), cpu()
for _ in range(args.steps):
    loss = step()
wall, used = time.perf_counter() - wall, cpu() - used
parameters = sum(p.numel() for p in network.parameters())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
figures = {"network": args.network, "threads": args.threads, "parameters": parameters, "loss": loss, "peak_mb": peak}
print(json.dumps({**figures, "steps_per_wall_second": args.steps / wall, "steps_per_cpu_second": args.steps / used}))
