"""Golden results and gradients of PyTorch's layers, losses and optimisers.

Makes torch.safetensors. All runs in double precision on inputs and weights that single precision holds exactly.

Layers, as CASE.WHAT: input `x`, output `y`, weights `w.NAME` by the names and in the layouts of blemish-nn, `r` the weights of a sum of
the output's values, and the gradients of that sum: `g.x`, `g.NAME`. Losses: inputs `x` (and `y`, `t`), `loss`, `g.x` (and `g.y`).
Optimisers: weights `p`, the gradients `g` of three steps, and the weights after each of them, `after`.

SSIM and focal loss are written out here from the formulas of DRAEM's and MemSeg's released codes.

Made with Python 3.11, torch 2.15.0, numpy 2.4.6, safetensors 0.8.0:
    python make_torch.py torch.safetensors
"""

import sys

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional as F

torch.manual_seed(5)
golden = {}


def store(name, tensor):
    golden[name] = np.ascontiguousarray(tensor.detach().to(torch.float32).numpy())


def single(tensor):
    """In double precision, values that single precision holds."""
    return tensor.float().double()


def random(*shape, scale=1.0):
    return single(torch.randn(*shape) * scale)


def uniform(*shape):
    return single(torch.rand(*shape))


def randomise(module, scale=0.5):
    """Weights that single precision holds, in double precision."""
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape) * scale
    return module.double()


def layer(case, x, forward, weights=None):
    """`weights`: name here -> (parameter, from PyTorch's layout to ours); a parameter that is None is a bias of as many zeros."""
    x = single(x).clone().requires_grad_()
    y = forward(x)
    r = random(*y.shape)
    store(f"{case}.x", x)
    store(f"{case}.r", r)
    store(f"{case}.y", y)
    (y * r).sum().backward()
    store(f"{case}.g.x", x.grad)
    for name, (parameter, layout) in (weights or {}).items():
        if isinstance(parameter, int):
            store(f"{case}.w.{name}", torch.zeros(parameter))
            continue
        store(f"{case}.w.{name}", layout(parameter.detach()))
        if parameter.grad is not None:
            store(f"{case}.g.{name}", layout(parameter.grad))


same = lambda tensor: tensor
transposed = lambda tensor: tensor.T


def plain(module, bias=None, prefix=""):
    weights = {f"{prefix}weight": (module.weight, same)}
    weights[f"{prefix}bias"] = (bias if module.bias is None else module.bias, same)
    return weights


def layers():
    dense = randomise(nn.Linear(3, 5))
    layer("dense", random(4, 3), dense, {"weight": (dense.weight, transposed), "bias": (dense.bias, same)})
    for name, kernel, stride, padding, bias in [("3x3", 3, 1, 1, True), ("4x4", 4, 2, 1, False), ("valid", 4, 1, 0, False)]:
        conv = randomise(nn.Conv2d(3, 4, kernel, stride, padding, bias=bias))
        layer(f"conv.{name}", random(2, 3, 8, 6), conv, plain(conv, 4))
        if name == "4x4":
            # One small case of every size, a wide one for the kernels of many channels.
            wide = randomise(nn.Conv2d(18, 20, 3, 1, 1), 0.2)
            layer("conv.wide", random(1, 18, 6, 5), wide, plain(wide))
    for name, kernel, stride, padding, output_padding, bias in [
        ("4x4", 4, 2, 1, 0, False),
        ("3x3", 3, 2, 1, 1, True),
        ("first", 4, 1, 0, 0, False),
        ("5x5", 5, 3, 1, 2, True),
    ]:
        conv = randomise(nn.ConvTranspose2d(3, 2, kernel, stride, padding, output_padding, bias=bias))
        layer(f"transposed.{name}", random(2, 3, 3, 4), conv, plain(conv, 2))

    norm = randomise(nn.BatchNorm2d(3))
    first, second = single(random(2, 3, 4, 3) * 2 + 1), random(3, 3, 2, 2)
    store("batch_norm.first", first)
    norm(first)
    weights = {"gain": (norm.weight, same), "shift": (norm.bias, same)}
    layer("batch_norm", second, norm, weights)
    store("batch_norm.mean", norm.running_mean)
    store("batch_norm.variance", norm.running_var)
    norm = randomise(nn.BatchNorm2d(3, eps=1e-3)).eval()
    norm.running_mean = torch.randn(3).double()
    norm.running_var = single(torch.rand(3) + 0.5)
    weights = {"gain": (norm.weight, same), "shift": (norm.bias, same)}
    layer("stored_norm", random(2, 3, 2, 2), norm, weights)
    store("stored_norm.w.mean", norm.running_mean)
    store("stored_norm.w.variance", norm.running_var)
    norm = randomise(nn.GroupNorm(2, 6))
    layer("group_norm", random(2, 6, 3, 2) * 3 + 1, norm, {"gain": (norm.weight, same), "shift": (norm.bias, same)})
    norm = randomise(nn.LayerNorm(7))
    layer("layer_norm", random(2, 3, 7) * 3 + 1, norm, {"gain": (norm.weight, same), "shift": (norm.bias, same)})
    norm = randomise(nn.LayerNorm((2, 3, 4)))
    layer("map_norm", random(2, 2, 3, 4) * 3 + 1, norm, {"learned.0": (norm.weight, same), "learned.1": (norm.bias, same)})

    for name, size in [("twice", (8, 10)), ("odd", (7, 3)), ("one", (1, 2))]:
        x = random(2, 2, 4, 5)
        layer(f"bilinear.{name}", x, lambda x: F.interpolate(x, size, mode="bilinear", align_corners=False))
        layer(f"aligned.{name}", x, lambda x: F.interpolate(x, size, mode="bilinear", align_corners=True))
        layer(f"nearest.{name}", x, lambda x: F.interpolate(x, size, mode="nearest"))
    # Zeros as after a ReLU, so that windows have equal values.
    ties = random(2, 3, 7, 6).relu()
    layer("max_pool.tiles", ties, lambda x: F.max_pool2d(x, 2))
    layer("max_pool.padded", ties, lambda x: F.max_pool2d(x, 3, 2, 1))
    layer("average_pool.tiles", random(2, 3, 7, 6), lambda x: F.avg_pool2d(x, 2))
    layer("average_pool.padded", random(2, 3, 7, 6), lambda x: F.avg_pool2d(x, 3, 1, 1))
    layer("adaptive_pool", random(2, 3, 7, 5), lambda x: F.adaptive_avg_pool2d(x, (3, 2)))
    layer("leaky_relu", random(2, 3), lambda x: F.leaky_relu(x, 0.2))
    layer("silu", random(2, 3), F.silu)

    attention = randomise(nn.MultiheadAttention(8, 2, batch_first=True))
    mask = torch.zeros(5, 6).double()
    mask[0, 1:4] = mask[3, 5] = -torch.inf
    mask[2, 2] = 0.5
    store("attention.mask", mask)
    key, value = random(2, 6, 8).requires_grad_(), random(2, 6, 8).requires_grad_()
    store("attention.key", key)
    store("attention.value", value)
    weights = {
        "weight": (attention.in_proj_weight, transposed),
        "bias": (attention.in_proj_bias, same),
        "output.weight": (attention.out_proj.weight, transposed),
        "output.bias": (attention.out_proj.bias, same),
    }
    layer("attention", random(2, 5, 8), lambda x: attention(x, key, value, attn_mask=mask, need_weights=False)[0], weights)
    store("attention.g.key", key.grad)
    store("attention.g.value", value.grad)


def loss(case, cost, **inputs):
    """Inputs called `t` have no gradient."""
    inputs = {name: single(value).clone().requires_grad_(name != "t") for name, value in inputs.items()}
    value = cost(*inputs.values())
    value.backward()
    store(f"{case}.loss", value.reshape(1))
    for name, tensor in inputs.items():
        store(f"{case}.{name}", tensor)
        if tensor.grad is not None:
            store(f"{case}.g.{name}", tensor.grad)


def ssim(x, y, padding):
    """DRAEM: 11 x 11 window, sigma 1.5, range 1."""
    side = torch.exp(-((torch.arange(11).double() - 5) ** 2) / (2 * 1.5**2))
    side = side / side.sum()
    channels = x.shape[1]
    window = (side[:, None] * side[None, :]).expand(channels, 1, 11, 11)
    smooth = lambda image: F.conv2d(image, window, padding=padding, groups=channels)
    mx, my = smooth(x), smooth(y)
    vx, vy, c = smooth(x * x) - mx**2, smooth(y * y) - my**2, smooth(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * mx * my + c1) * (2 * c + c2)) / ((mx**2 + my**2 + c1) * (vx + vy + c2))


def focal(p, mask, gamma, each):
    truth = torch.cat([1 - mask, mask], 1).clamp(1e-5, 1 - 1e-5)
    if each:
        return (-((1 - p) ** gamma) * truth * (p + 1e-5).log()).sum(1).mean()
    q = (truth * p).sum(1) + 1e-5
    return (-((1 - q) ** gamma) * q.log()).mean()


def losses():
    loss("l1", F.l1_loss, x=random(3, 4), y=random(3, 4))
    loss("l2", F.mse_loss, x=random(3, 4), y=random(3, 4))
    x, y = uniform(1, 2, 13, 12), uniform(1, 2, 13, 12)
    loss("ssim.zero", lambda x, y: ssim(x, y, 5).mean(), x=x, y=y)
    loss("ssim.inside", lambda x, y: ssim(x, y, 0).mean(), x=x, y=y)
    store("ssim.zero.map", ssim(x, y, 5))
    logits, classes = random(4, 3), torch.tensor([2, 0, 1, 2])
    loss("cross_entropy", lambda x: F.cross_entropy(x, classes), x=logits)
    golden["cross_entropy.classes"] = classes.to(torch.int32).numpy()
    targets = single(torch.tensor([[1.0, 0.0, 0.3], [0.0, 1.0, 0.9]]))
    loss("binary", F.binary_cross_entropy, x=uniform(2, 3) * 0.9 + 0.05, t=targets)
    loss("binary_logits", F.binary_cross_entropy_with_logits, x=random(2, 3, scale=4), t=targets)
    mask = (uniform(2, 1, 3, 4) > 0.6).double()
    logits = random(2, 2, 3, 4)
    loss("focal.true", lambda x, t: focal(x.softmax(1), t, 2, False), x=logits, t=mask)
    loss("focal.each", lambda x, t: focal(x.softmax(1), t, 4, True), x=logits, t=mask)
    kl = lambda x, y: 0.5 * (x**2 + y.exp() - y - 1).flatten(1).sum(1).mean()
    loss("kl", kl, x=random(3, 4), y=random(3, 4))


def optimisers():
    rules = {
        "adam": lambda p: torch.optim.Adam(p, 0.1, betas=(0.5, 0.999), weight_decay=0.1),
        "adam_w": lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.1),
        "ams_grad": lambda p: torch.optim.Adam(p, 0.1, amsgrad=True),
        "sgd": lambda p: torch.optim.SGD(p, 0.1, weight_decay=0.1),
        "momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1),
        "nesterov": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
        "rms_prop": lambda p: torch.optim.RMSprop(p, 0.1, weight_decay=0.1),
        "rms_prop_full": lambda p: torch.optim.RMSprop(p, 0.1, alpha=0.9, eps=1e-3, momentum=0.5, centered=True),
    }
    for case, rule in rules.items():
        weights, slopes = torch.nn.Parameter(random(1, 5)), random(3, 5)
        store(f"{case}.p", weights)
        store(f"{case}.g", slopes)
        optimiser, after = rule([weights]), []
        for slope in slopes:
            weights.grad = slope[None].clone()
            optimiser.step()
            after.append(weights.detach().clone())
        store(f"{case}.after", torch.cat(after))


layers()
losses()
optimisers()
save_file(golden, sys.argv[1])
print(len(golden), "tensors,", sum(value.nbytes for value in golden.values()), "bytes")
