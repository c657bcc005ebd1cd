"""Golden outputs of small flows of FrEIA with random parameters.

Makes freia.safetensors: for each flow its input `x` (batch of 2, N x C or N x C x H x W), output `z`, log-determinant `log_det` (one a
sample) and, as `FLOW.K.WHAT`, the parameters of its blocks. The flows run in double precision on parameters that single precision
holds exactly. Each is computed again below from the stored tensors in plain PyTorch, its log-determinant also from the whole Jacobian.

The formulas, as FrEIA's source has them (C channels, N x C x ... tensors; u, v intermediate):

`conv`, `odd`, `soft`: AllInOneBlock.
    1. x1 = the first C - floor(C/2) channels, x2 = the last floor(C/2). Only x2 changes; the condition is concatenated after x1.
    2. (r, t) = 0.1 * subnet(x1), first half of the channels r, second half t: the factor applies to both.
    3. u = (x1, x2 * exp(k tanh(r)) + t), with k tanh(r) in version 0.2 and k tanh(r / k) in the repository since August 2023.
    4. v = u * g + b per channel, g = 0.1 * 2 ln(1 + exp(G / 2)): `global_scale` is g, `global_scale_raw` G, `global_offset` b.
    5. Output channel i = v channel `permutation`[i], or R v with R the `rotation`: the affine comes before the permutation.
    log-det = sum of k tanh(r) + (number of positions) * sum of ln g.
`glow`: PermuteRandom (output channel i = input channel p[i]), then GLOWCouplingBlock; halves of round(C/2) and the rest.
    1. (s, t) = subnet2(x2); y1 = x1 * exp(a(s)) + t. The first half is transformed first.
    2. (s, t) = subnet1(y1), of the new first half; y2 = x2 * exp(a(s)) + t. Output (y1, y2).
    No factor of 0.1. a(s) = 0.636 k atan(s), s not divided by k (to this day). log-det = sum of both a(s).
`differnet`: the same with the soft clamp of DifferNet, CS-Flow and FrEIA until February 2021, a(s) = 0.636 k atan(s / k).
`actnorm`: y = x * exp(l) + b, `scale` = exp(l): the offset after the scale. From a first batch: exp(l) = 1 / (standard deviation with
    n - 1), b = -mean of the scaled batch. log-det = positions * sum of l.
`fixed1x1`: Fixed1x1Conv of M applies its transpose, y = M^T x at each position; `weight` is M^T. log-det = positions * ln |det M|.
`squeeze`: IRevNetDownsampling; output channel 4 c + 2 dy + dx = input channel c at (2 y + dy, 2 x + dx).
`haar`: HaarDownsampling; output channels 4 c + (0..3) = half of (a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d) of the
    block (a b / c d): mean, left less right, top less bottom, diagonal. log-det 0.

Made with Python 3.11, torch 2.15.0, FrEIA 0.2, numpy 2.4.6, scipy 1.17.1, safetensors 0.8.0:
    python make_freia.py freia.safetensors
"""

import sys

import numpy as np
import torch
from FrEIA.modules import ActNorm, AllInOneBlock, Fixed1x1Conv, GLOWCouplingBlock, HaarDownsampling, IRevNetDownsampling, PermuteRandom
from safetensors.torch import save_file
from torch import nn

golden = {}


def store(name, tensor):
    golden[name] = tensor.detach().to(torch.int32 if tensor.dtype == torch.int64 else torch.float32).contiguous().clone()


def linear(hidden):
    return lambda inputs, outputs: nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def conv3x3(hidden):
    return lambda inputs, outputs: nn.Sequential(
        nn.Conv2d(inputs, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, outputs, 3, padding=1)
    )


def randomise(subnet, gain):
    """Makes the subnet's outputs about `gain` large."""
    for layer, scale in [(subnet[0], 1.4), (subnet[2], gain)]:
        nn.init.normal_(layer.weight, std=scale / layer.weight[0].numel() ** 0.5)
        nn.init.normal_(layer.bias, std=0.2 * scale)


def store_subnet(name, subnet):
    for key, value in subnet.state_dict().items():
        store(f"{name}.{key}", value)


def run(flow, blocks, x, plain, condition=None):
    """Runs FrEIA's blocks, stores what came of it and holds `plain`, the same from the stored tensors, against it."""
    given, z, log_det = () if condition is None else ([condition],), x, torch.zeros(len(x), dtype=torch.float64)
    for block in blocks:
        (z,), step = block.double()([z], *given)
        log_det = log_det + step
    store(f"{flow}.x", x), store(f"{flow}.z", z), store(f"{flow}.log_det", log_det)
    if condition is not None:
        store(f"{flow}.condition", condition)

    ours, our_log_det = plain(x)
    assert torch.allclose(ours, z, rtol=1e-10, atol=1e-10) and torch.allclose(our_log_det, log_det, rtol=1e-10, atol=1e-10), flow
    for i in range(len(x)):
        alone = lambda sample: plain(torch.stack([sample if j == i else x[j] for j in range(len(x))]))[0][i]
        jacobian = torch.autograd.functional.jacobian(alone, x[i]).reshape(x[i].numel(), -1)
        assert torch.allclose(torch.linalg.slogdet(jacobian)[1], log_det[i], atol=1e-6), flow


def double(name):
    return golden[name].double() if golden[name].is_floating_point() else golden[name].long()


def perceptron(name, x):
    layer = (lambda x, w, b: torch.conv2d(x, w, b, padding=1)) if x.dim() == 4 else nn.functional.linear
    hidden = layer(x, double(f"{name}.0.weight"), double(f"{name}.0.bias")).relu()
    return layer(hidden, double(f"{name}.2.weight"), double(f"{name}.2.bias"))


def plain_all_in_one(flow, steps, clamp, x, condition=None):
    log_det, channel, channels = 0, (1, -1) + (1,) * (x.dim() - 2), x.shape[1]
    for k in range(steps):
        x1, x2 = x.split([channels - channels // 2, channels // 2], 1)
        r, t = (0.1 * perceptron(f"{flow}.{k}.subnet", x1 if condition is None else torch.cat([x1, condition], 1))).chunk(2, 1)
        s = clamp * r.tanh()
        scale = 0.1 * 2 * torch.log1p((double(f"{flow}.{k}.global_scale_raw") / 2).exp())
        assert torch.allclose(scale, double(f"{flow}.{k}.global_scale"), rtol=1e-6)
        v = torch.cat([x1, x2 * s.exp() + t], 1) * scale.reshape(channel) + double(f"{flow}.{k}.global_offset").reshape(channel)
        x = v @ double(f"{flow}.{k}.rotation").T if flow == "soft" else v[:, double(f"{flow}.{k}.permutation")]
        log_det = log_det + s.flatten(1).sum(1) + x[0, 0].numel() * scale.log().sum()
        assert 0.2 < s.std() < 1, (flow, k, s.std())
    return x, log_det


def all_in_one(flow, steps, shape, subnet, clamp, condition=None, **options):
    dims_c = [] if condition is None else [tuple(condition.shape[1:])]
    blocks = [
        AllInOneBlock([shape], dims_c, subnet_constructor=subnet, affine_clamping=clamp, **options) for _ in range(steps)
    ]
    for k, block in enumerate(blocks):
        randomise(block.subnet, 4.0)
        block.global_scale.data += torch.randn_like(block.global_scale)
        block.global_offset.data += 0.2 * torch.randn_like(block.global_offset)
        if flow == "soft":
            store(f"{flow}.{k}.rotation", block.w_perm)
        else:
            index = torch.arange(shape[0], dtype=torch.float32).reshape(1, -1, *[1] * (len(shape) - 1))
            permutation = block.permute_function(index, block.w_perm).flatten().long()
            store(f"{flow}.{k}.permutation", permutation)
        store(f"{flow}.{k}.global_scale", block.global_scale_activation(block.global_scale.double()).flatten())
        store(f"{flow}.{k}.global_scale_raw", block.global_scale.flatten())
        store(f"{flow}.{k}.global_offset", block.global_offset.flatten())
        store_subnet(f"{flow}.{k}.subnet", block.subnet)
    x = torch.randn(2, *shape).double()
    run(flow, blocks, x, lambda x: plain_all_in_one(flow, steps, clamp, x, condition), condition)


def plain_glow(flow, steps, soft_clamp, x):
    log_det = 0
    for k in range(steps):
        x1, x2 = x[:, double(f"{flow}.{k}.permutation")].chunk(2, 1)
        r2, t2 = perceptron(f"{flow}.{k}.subnet2", x2).chunk(2, 1)
        y1 = x1 * soft_clamp(r2).exp() + t2
        r1, t1 = perceptron(f"{flow}.{k}.subnet1", y1).chunk(2, 1)
        x = torch.cat([y1, x2 * soft_clamp(r1).exp() + t1], 1)
        s = torch.cat([soft_clamp(r1), soft_clamp(r2)], 1)
        log_det = log_det + s.sum(1)
        assert 0.2 < s.std() < 1, (flow, k, s.std())
    return x, log_det


def glow(flow, steps, channels, clamp, gain, soft_clamp, **options):
    blocks = []
    for k in range(steps):
        permute = PermuteRandom([(channels,)], seed=k)
        coupling = GLOWCouplingBlock([(channels,)], subnet_constructor=linear(16), clamp=clamp, **options)
        store(f"{flow}.{k}.permutation", permute([torch.arange(channels)[None]])[0][0][0])
        for name in ["subnet1", "subnet2"]:
            randomise(getattr(coupling, name), gain)
            store_subnet(f"{flow}.{k}.{name}", getattr(coupling, name))
        blocks += [permute, coupling]
    run(flow, blocks, torch.randn(2, channels).double(), lambda x: plain_glow(flow, steps, soft_clamp, x))


def actnorm():
    block = ActNorm([(4, 3, 5)])
    spread, centre = torch.rand(1, 4, 1, 1) + 0.5, torch.randn(1, 4, 1, 1)
    first = (spread * torch.randn(6, 4, 3, 5) + centre).double()
    block.double()([first])
    # Rounded, so that the stored parameters are the ones that run.
    for parameter in block.parameters():
        parameter.data = parameter.data.float().double()
    store("actnorm.init", first), store("actnorm.0.log_scale", block.scale.flatten())
    store("actnorm.0.scale", block.scale.exp().flatten()), store("actnorm.0.bias", block.bias.flatten())
    values = first.transpose(0, 1).flatten(1)
    scale = 1 / values.std(1, correction=1)
    assert torch.allclose(scale, double("actnorm.0.scale"), rtol=1e-6)
    assert torch.allclose(-values.mean(1) * scale, double("actnorm.0.bias"), atol=1e-6)

    def plain(x):
        log_scale, bias = double("actnorm.0.log_scale"), double("actnorm.0.bias")
        return x * log_scale.exp().reshape(1, -1, 1, 1) + bias.reshape(1, -1, 1, 1), (15 * log_scale.sum()).expand(2)

    run("actnorm", [block], torch.randn(2, 4, 3, 5).double(), plain)


def fixed1x1():
    matrix = torch.randn(4, 4)
    store("fixed1x1.0.weight", matrix.T)
    weight = double("fixed1x1.0.weight")
    plain = lambda x: (torch.einsum("oi,nihw->nohw", weight, x), 9 * torch.linalg.slogdet(weight)[1].expand(2))
    run("fixed1x1", [Fixed1x1Conv([(4, 3, 3)], M=matrix.double())], torch.randn(2, 4, 3, 3).double(), plain)


def downsampling():
    def plain(x):
        blocks = x.reshape(2, 2, 2, 2, 2, 2)  # N, C, y, dy, x, dx
        return blocks.permute(0, 1, 3, 5, 2, 4).reshape(2, 8, 2, 2), torch.zeros(2, dtype=torch.float64)

    def plain_haar(x):
        a, b, c, d = plain(x)[0].reshape(2, 2, 4, 2, 2).unbind(2)
        waves = [a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d]
        return torch.stack(waves, 2).reshape(2, 8, 2, 2) / 2, torch.zeros(2, dtype=torch.float64)

    run("squeeze", [IRevNetDownsampling([(2, 4, 4)])], torch.arange(64.0, dtype=torch.float64).reshape(2, 2, 4, 4), plain)
    run("haar", [HaarDownsampling([(2, 4, 4)])], torch.randn(2, 2, 4, 4).double(), plain_haar)


if __name__ == "__main__":
    torch.manual_seed(0), np.random.seed(0)
    all_in_one("conv", 3, (6, 5, 4), conv3x3(8), 2.0)
    all_in_one("odd", 2, (5,), linear(16), 1.9, condition=torch.randn(2, 4).double())
    all_in_one("soft", 1, (4,), linear(16), 2.0, permute_soft=True)
    glow("glow", 3, 8, 3.0, 0.3, lambda s: 0.636 * 3 * torch.atan(s))
    divided = lambda s: 0.636 * torch.atan(s / 3)
    glow("differnet", 3, 8, 3.0, 0.9, lambda s: 3 * divided(s), clamp_activation=divided)
    actnorm(), fixed1x1(), downsampling()
    for flow in ["conv", "odd", "glow", "differnet"]:
        orders = [order for name, order in golden.items() if name.startswith(flow) and name.endswith("permutation")]
        assert any((order[order.long()] != torch.arange(len(order))).any() for order in orders), "a permutation must not be its inverse"
    save_file(golden, sys.argv[1])
