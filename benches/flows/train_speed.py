"""PyTorch's side of the training speed of normalizing flows: prints steps per wall and per CPU second as one line of JSON.

    python benches/flows/train_speed.py [--stack maps|vectors|wide] [--threads 1] [--steps 5] [--warm-up 2] [--fused] [--device cpu|cuda] [--products single|tf32|bfloat16]

maps      FastFlow: 8 affine couplings (3x3, 128 -> 128 -> 256, clamp 2 tanh), batch of 8 maps of 256 x 32 x 32; Adam 1e-3, decay 1e-5
vectors   CFlow: 8 conditional couplings (linear, 256 -> 512 -> 256, clamp 1.9 tanh) on 1024 fibers of 256 with condition 128; Adam 1e-4
wide      DifferNet: 4 blocks of two subnets (384 -> 2048 -> 2048 -> 2048 -> 768, clamp 3 atan), batch of 96 vectors of 768; its Adam

A step is forward, loss, backward and Adam's update. `--fused` takes Adam's fused kernel instead of PyTorch's default.
`--products` sets what a GPU multiplies in; PyTorch's own default takes TF32 in convolutions and single precision in linear layers.
Made with torch 2.15.0 (CPU) and 2.11.0 (GPU).
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from blemish import Rows

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--stack", choices=["maps", "vectors", "wide"], default="maps")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--steps", type=int, default=5)
parser.add_argument("--warm-up", type=int, default=2)
parser.add_argument("--fused", action="store_true")
parser.add_argument("--device", default="cpu")
parser.add_argument("--products", choices=["default", "single", "tf32", "bfloat16"], default="default")
args = parser.parse_args()  # Before PyTorch is loaded, which takes seconds and may be missing.

import torch
from torch import nn
from torch.nn import functional as F


class Coupling(nn.Module):
    """One all-in-one block: coupling of the second half, affine of every channel, permutation. Returns output and log-det."""

    def __init__(self, channels, clamp, layer, condition=0, hidden=None):
        super().__init__()
        half, self.clamp = channels // 2, clamp
        inputs = half + condition
        self.subnet = nn.Sequential(layer(inputs, hidden or inputs), nn.ReLU(), layer(hidden or inputs, channels))
        # Where 0.1 softplus is one.
        self.scale = nn.Parameter(torch.full((channels,), 2 * torch.expm1(torch.tensor(5.0)).log().item()))
        self.offset = nn.Parameter(torch.zeros(channels))
        self.register_buffer("order", torch.randperm(channels))

    def forward(self, x, condition=None):
        x1, x2 = x.chunk(2, 1)
        r, t = (0.1 * self.subnet(x1 if condition is None else torch.cat([x1, condition], 1))).chunk(2, 1)
        s = self.clamp * r.tanh()
        channel = (-1,) + (1,) * (x.dim() - 2)
        scale = 0.1 * F.softplus(self.scale, beta=0.5)
        v = torch.cat([x1, x2 * s.exp() + t], 1) * scale.reshape(channel) + self.offset.reshape(channel)
        return v.index_select(1, self.order), s.flatten(1).sum(1) + x[0, 0].numel() * scale.log().sum()


class DoubleCoupling(nn.Module):
    """DifferNet's block: permutation, then each half by the other, with the clamp 0.636 a atan(s / a). Returns output and log-det."""

    def __init__(self, channels, clamp, hidden):
        super().__init__()
        widths = [channels // 2, hidden, hidden, hidden, channels]
        subnet = lambda: nn.Sequential(*[part for pair in zip(widths, widths[1:]) for part in [nn.Linear(*pair), nn.ReLU()]][:-1])
        self.first, self.second, self.clamp = subnet(), subnet(), clamp
        self.register_buffer("order", torch.randperm(channels))

    def half(self, subnet, x, other):
        s, t = subnet(other).chunk(2, 1)
        s = 0.636 * self.clamp * torch.atan(s / self.clamp)
        return x * s.exp() + t, s.sum(1)

    def forward(self, x):
        x1, x2 = x.index_select(1, self.order).chunk(2, 1)
        y1, log_det1 = self.half(self.second, x1, x2)
        y2, log_det2 = self.half(self.first, x2, y1)
        return torch.cat([y1, y2], 1), log_det1 + log_det2


def through(blocks, x, *condition):
    log_det = 0
    for block in blocks:
        x, step = block(x, *condition)
        log_det = log_det + step
    return x, log_det


def stack(kind, fused, device):
    """The blocks' optimiser and a function that makes the loss."""
    if kind == "maps":
        blocks = nn.ModuleList(Coupling(256, 2.0, lambda i, o: nn.Conv2d(i, o, 3, padding=1)) for _ in range(8)).to(device)
        x = torch.randn(8, 256, 32, 32, device=device)

        def loss():
            z, log_det = through(blocks, x)
            return (0.5 * z.square().sum((1, 2, 3)) - log_det).mean()

        return torch.optim.Adam(blocks.parameters(), lr=1e-3, weight_decay=1e-5, fused=fused), loss
    if kind == "vectors":
        blocks = nn.ModuleList(Coupling(256, 1.9, nn.Linear, condition=128, hidden=2 * (128 + 128)) for _ in range(8)).to(device)
        x, condition = torch.randn(1024, 256, device=device), torch.randn(1024, 128, device=device)

        def loss():
            z, log_det = through(blocks, x, condition)
            log_likelihood = -128 * math.log(2 * math.pi) - 0.5 * z.square().sum(1) + log_det
            return -F.logsigmoid(log_likelihood / 256).mean()

        return torch.optim.Adam(blocks.parameters(), lr=1e-4, fused=fused), loss
    blocks = nn.ModuleList(DoubleCoupling(768, 3.0, 2048) for _ in range(4)).to(device)
    x = torch.randn(96, 768, device=device)

    def loss():
        z, log_det = through(blocks, x)
        return (0.5 * z.square().sum(1) - log_det).mean() / 768

    options = {"lr": 2e-4, "betas": (0.8, 0.8), "eps": 1e-4, "weight_decay": 1e-5}
    return torch.optim.Adam(blocks.parameters(), fused=fused, **options), loss


if __name__ == "__main__":
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    if args.products in ("single", "tf32"):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.products == "tf32"
    optimiser, loss_of = stack(args.stack, args.fused or None, args.device)
    wait = torch.cuda.synchronize if args.device == "cuda" else lambda: None
    parameters = sum(p.numel() for p in optimiser.param_groups[0]["params"])
    for step in range(args.warm_up + args.steps):
        if step == args.warm_up:
            wait()
            wall, cpu = time.perf_counter(), time.process_time()
        optimiser.zero_grad()
        with torch.autocast(args.device, torch.bfloat16, enabled=args.products == "bfloat16"):
            loss = loss_of()
        loss.backward()
        optimiser.step()
    wait()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    figures = {"stack": args.stack, "device": args.device, "products": args.products, "threads": args.threads, "steps": args.steps, "parameters": parameters, "loss": loss.item()}
    print(json.dumps({**figures, "steps_per_wall_second": args.steps / wall, "steps_per_cpu_second": args.steps / cpu}))
    rows = Rows("train-speed")
    figure = {"set": args.device, "method": args.stack, "variant": f"{args.products} products", "peer": "PyTorch"}
    rows.add(**figure, metric="steps a CPU second", value=f"{args.steps / cpu:.3g}")
    rows.add(**figure, metric="steps a second", value=f"{args.steps / wall:.3g}")
