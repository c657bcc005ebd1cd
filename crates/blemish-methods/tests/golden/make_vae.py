"""Golden values of the variational auto-encoder, written out in PyTorch from its equations.

Makes vae.safetensors of a tiny width; with `--published FOLDER` also FOLDER/vae.safetensors of the published one (128 pixels, 32 channels,
128 latent values). All in double precision on inputs and weights that single precision holds.

Cases: `vector` (batch normalisation), `spatial` (latent map, group normalisation), `sspcab` (a masked block in the decoder). Of each:
weights `w.NAME` by the names and in the layouts of the method, images `x`, noise `e`, latent `mean`, `log_variance` and draw `z`, the
`logits`, the costs `r.LIKELIHOOD`, `kl`, the whole `cost` (calibrated, beta 0.7, per value, with a tenth of the block's loss), the
weights after one step of Adam (epsilon 1e-6) `after.NAME` with the gradient clipped to a norm of 1, and maps in scoring by the weights before it: `l2`,
`l1`, `ssim`, `kl_gradient`, `vae_grad` (3 steps).

Made with Python 3.11, torch 2.15.0, numpy 2.4.6, safetensors 0.8.0:
    python make_vae.py vae.safetensors [--published FOLDER]
"""

import sys

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional as F

SIGMA, BETA = 0.1, 0.7


def single(tensor):
    """In double precision, values that single precision holds."""
    return tensor.float().double()


class Unit(nn.Module):
    """Convolution of 4x4 with stride 2, normalisation, activation."""

    def __init__(self, inputs, outputs, up, norm, slope):
        super().__init__()
        kind = nn.ConvTranspose2d if up else nn.Conv2d
        self.conv = kind(inputs, outputs, 4, 2, 1, bias=norm is None)
        self.norm = None if norm is None else make_norm(norm, outputs)
        self.slope, self.up, self.kind = slope, up, norm

    def forward(self, x):
        x = self.conv(x)
        x = x if self.norm is None else self.norm(x)
        return x if self.slope is None else F.leaky_relu(x, self.slope)

    def names(self, prefix):
        kind = "Transposed" if self.up else "Plain"
        yield f"{prefix}.conv.{kind}.weight", self.conv, "weight"
        yield f"{prefix}.conv.{kind}.bias", self.conv, "bias"
        if self.norm is not None:
            yield from norm_names(f"{prefix}.norm", self.norm)


def make_norm(kind, channels):
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.GroupNorm(max(channels // 16, 1), channels)


def norm_names(prefix, norm):
    kind = "Batch" if isinstance(norm, nn.BatchNorm2d) else "Group"
    yield f"{prefix}.{kind}.gain", norm, "weight"
    yield f"{prefix}.{kind}.shift", norm, "bias"
    if kind == "Batch":
        yield f"{prefix}.{kind}.mean", norm, "running_mean"
        yield f"{prefix}.{kind}.variance", norm, "running_var"


class Block(nn.Module):
    """SSPCAB with corners of one value: one convolution of 2x2, dilated by four, then attention over channels."""

    def __init__(self, channels):
        super().__init__()
        # Top left, bottom left, top right, bottom right.
        self.corners = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(4))
        self.squeeze, self.excite = nn.Linear(channels, channels // 8), nn.Linear(channels // 8, channels)

    def forward(self, x):
        kernel = torch.zeros(*self.corners[0].weight.shape[:2], 5, 5).double()
        for corner, (row, column) in zip(self.corners, [(0, 0), (4, 0), (0, 4), (4, 4)]):
            place = torch.zeros(5, 5).double()
            place[row, column] = 1
            kernel = kernel + corner.weight * place
        y = F.relu(F.conv2d(x, kernel, sum(corner.bias for corner in self.corners), padding=2))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3))))))
        return y * gate[:, :, None, None]


class Vae(nn.Module):
    def __init__(self, side, base, dimensions, spatial=False, norm="batch", sspcab=False):
        super().__init__()
        last = 8 if spatial else 4
        channels = [min(base << block, 512) for block in range((side // last).bit_length() - 1)]
        self.last_side, self.spatial, self.deepest = last, spatial, channels[-1]
        inputs = [3] + channels
        self.encoder = nn.ModuleList(Unit(a, b, False, norm, 0.2) for a, b in zip(inputs, channels))
        values = channels[-1] * last * last
        if spatial:
            self.mean, self.log_variance = (nn.Conv2d(channels[-1], dimensions, 1) for _ in range(2))
            self.expand = nn.Conv2d(dimensions, channels[-1], 1)
        else:
            self.mean, self.log_variance = (nn.Linear(values, dimensions) for _ in range(2))
            self.expand = nn.Linear(dimensions, values)
        down = channels[::-1]
        ups = list(zip(down, down[1:]))
        self.block = None
        first = channels[0]
        if sspcab:
            ups.pop()
            first = channels[1]
            self.block, self.block_norm = Block(first), make_norm(norm, first)
        self.decoder = nn.ModuleList(Unit(a, b, True, norm, 0.0) for a, b in ups)
        self.last = Unit(first, 3, True, None, None)

    def encode(self, x):
        for unit in self.encoder:
            x = unit(x)
        x = x if self.spatial else x.flatten(1)
        return self.mean(x).flatten(1), self.log_variance(x).flatten(1).clamp(-10, 4)

    def decode(self, z):
        side = self.last_side
        z = z.reshape(len(z), -1, side, side) if self.spatial else z
        x = self.expand(z).reshape(len(z), self.deepest, side, side)
        for unit in self.decoder:
            x = unit(x)
        loss = None
        if self.block is not None:
            y = self.block(x)
            loss = ((y - x) ** 2).mean()
            x = F.interpolate(F.relu(self.block_norm(y)), scale_factor=2, mode="nearest")
        return self.last(x), loss

    def names(self):
        for number, unit in enumerate(self.encoder):
            yield from unit.names(f"encoder.{number}")
        kind = "Spatial" if self.spatial else "Vector"
        for name in ["mean", "log_variance", "expand"]:
            for field in ["weight", "bias"]:
                yield f"latent.{kind}.{name}.{field}", getattr(self, name), field
        for number, unit in enumerate(self.decoder):
            yield from unit.names(f"decoder.{number}")
        if self.block is not None:
            for number, corner in enumerate(self.block.corners):
                for field in ["weight", "bias"]:
                    yield f"block.block.corners.{number}.{field}", corner, field
            for name in ["squeeze", "excite"]:
                for field in ["weight", "bias"]:
                    yield f"block.block.{name}.{field}", getattr(self.block, name), field
            yield from norm_names("block.norm", self.block_norm)
        yield from self.last.names("last")

    def weights(self, prefix):
        stored = {}
        for name, module, field in self.names():
            value = getattr(module, field)
            if value is None:
                outputs = module.out_channels
                value = torch.zeros(outputs)
            value = value.detach()
            if isinstance(module, nn.Linear) and field == "weight":
                value = value.T
            stored[prefix + name] = np.ascontiguousarray(value.float().numpy())
        return stored


def randomise(network, generator):
    """Weights that keep the size of signals and that single precision holds, stored moments as after a training."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.ConvTranspose2d)):
            fan = module.weight[0].numel() if not isinstance(module, nn.ConvTranspose2d) else module.weight.shape[0] * 4
            module.weight.data = torch.randn(module.weight.shape, generator=generator) * (2 / fan) ** 0.5
            if module.bias is not None:
                module.bias.data = torch.randn(module.bias.shape, generator=generator) * 0.1
        elif isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)):
            module.weight.data = 1 + 0.2 * torch.randn(module.weight.shape, generator=generator)
            module.bias.data = 0.2 * torch.randn(module.bias.shape, generator=generator)
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean = 0.3 * torch.randn(module.running_mean.shape, generator=generator)
                module.running_var = 0.5 + torch.rand(module.running_var.shape, generator=generator)
    network.log_variance.bias.data -= 2
    network.log_variance.weight.data *= 0.3
    for tensor in list(network.parameters()) + list(network.buffers()):
        tensor.data = single(tensor.data) if tensor.is_floating_point() else tensor.data
    return network


def ssim(x, y):
    side = torch.exp(-((torch.arange(11).double() - 5) ** 2) / (2 * 1.5**2))
    side = side / side.sum()
    window = (side[:, None] * side[None, :]).expand(3, 1, 11, 11)
    smooth = lambda image: F.conv2d(image, window, padding=5, groups=3)
    mx, my = smooth(x), smooth(y)
    vx, vy, c = smooth(x * x) - mx**2, smooth(y * y) - my**2, smooth(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * mx * my + c1) * (2 * c + c2)) / ((mx**2 + my**2 + c1) * (vx + vy + c2))


def costs(x, logits):
    made, n, batch = torch.sigmoid(logits), x[0].numel(), len(x)
    square = ((x - made) ** 2).sum() / batch
    return {
        "calibrated": n / 2 * torch.log(((x - made) ** 2).mean() + 1e-6),
        "gaussian": square / (2 * SIGMA**2),
        "l1": (x - made).abs().sum() / batch / SIGMA,
        "ssim": n / (2 * SIGMA**2) * (1 - ssim(x, made).mean()),
        "bernoulli": F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / batch,
    }


def divergence(mean, log_variance):
    return 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1)


def maps(network, x):
    network.eval()
    reconstruct = lambda x: torch.sigmoid(network.decode(network.encode(x)[0])[0])
    with torch.no_grad():
        made = reconstruct(x)
        found = {"l2": ((x - made) ** 2).mean(1), "l1": (x - made).abs().mean(1), "ssim": ((1 - ssim(x, made)) / 2).mean(1)}
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(divergence(*network.encode(leaf)).sum(), leaf)
    found["kl_gradient"] = slope.abs().mean(1)
    moved = x.clone()
    for _ in range(3):
        leaf = moved.clone().requires_grad_()
        off = leaf - reconstruct(leaf)
        (slope,) = torch.autograd.grad((off**2).sum() + 0.05 * (leaf - x).abs().sum(), leaf)
        moved = moved - 0.5 * slope * off.detach() ** 2
    found["vae_grad"] = (x - moved).abs().mean(1)
    network.train()
    return found


def case(name, side, base, dimensions, batch, **options):
    generator = torch.Generator().manual_seed(5)
    network = randomise(Vae(side, base, dimensions, **options).double(), generator)
    golden = network.weights("w.")
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    ways = torch.rand(batch, 3, 2, 1, 1, generator=generator)
    images = 0.5 + 0.35 * torch.sin(ways[:, :, 0] * y * 0.6 + ways[:, :, 1] * x * 0.6)
    images = single(images + 0.1 * torch.rand(batch, 3, side, side, generator=generator))
    results = {"x": images}
    results |= maps(network, images)
    mean, log_variance = network.encode(images)
    noise = single(torch.randn(mean.shape, generator=generator))
    z = mean + (log_variance / 2).exp() * noise
    logits, of_block = network.decode(z)
    kl = divergence(mean, log_variance).mean()
    each = costs(images, logits)
    cost = (each["calibrated"] + BETA * kl) / images[0].numel()
    cost = cost if of_block is None else cost + 0.1 * of_block
    results |= {"e": noise, "mean": mean, "log_variance": log_variance, "z": z, "logits": logits, "kl": kl[None], "cost": cost[None]}
    results |= {f"r.{likelihood}": value[None] for likelihood, value in each.items()}
    optimiser = torch.optim.Adam(network.parameters(), 1e-3, eps=1e-6)
    cost.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    golden |= network.weights("after.")
    golden |= {key: np.ascontiguousarray(value.detach().float().numpy()) for key, value in results.items()}
    return {f"{name}.{key}": value for key, value in golden.items()}


golden = case("vector", 32, 4, 6, 3)
golden |= case("spatial", 32, 4, 3, 2, spatial=True, norm="group")
golden |= case("sspcab", 32, 4, 5, 3, sspcab=True)
save_file(golden, sys.argv[1])
print(len(golden), "tensors,", sum(value.nbytes for value in golden.values()), "bytes")
if "--published" in sys.argv:
    golden = case("published", 128, 32, 128, 4)
    save_file(golden, sys.argv[sys.argv.index("--published") + 1] + "/vae.safetensors")
    print(len(golden), "tensors,", sum(value.nbytes for value in golden.values()), "bytes")
