"""Golden values of f-AnoGAN: slope of the critic, losses and one step of each stage, of both kinds of networks.

usage: python make_fanogan.py fanogan.safetensors
       python make_fanogan.py --published FOLDER      the published networks: width 64, codes of 128, images of 64
needs: torch, safetensors (any CPU build)

Written from the description of the released TensorFlow code; the penalty is differentiated twice by PyTorch itself. Stage one: a step of the
critic, then one of the generator. What the generator makes for the critic does not move the generator's stored moments. Stage two: a step of
the encoder with generator and critic as stage one left them, by stored moments.

All runs in double precision on weights and inputs that single precision holds exactly. So does the test at the published width: in a wide
network some value lies within rounding of zero, where a rectifier's slope jumps. EPSILON is of the size of the gradients: at PyTorch's own a
first step goes by their signs alone, even where the loss does not depend on a weight and its gradient is the noise of rounding.

Weights are CASE.before.NAME and CASE.after.NAME, the encoder's CASE.encoder_before.NAME and CASE.encoder_after.NAME, by blemish's names.

Made with Python 3.11, torch 2.15.0, safetensors 0.8.0.
"""

import argparse
import copy
import os

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

EPSILON = 1e-2


class ImageNorm(nn.Module):
    """Layer normalisation over channels, height and width with a scale and a shift for each channel."""

    def __init__(self, channels):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        mean = x.mean((1, 2, 3), keepdim=True)
        variance = ((x - mean) ** 2).mean((1, 2, 3), keepdim=True)
        x = (x - mean) / (variance + 1e-5).sqrt()
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class Block(nn.Module):
    def __init__(self, inputs, outputs, up, norm):
        super().__init__()
        inner = outputs if up else inputs
        self.up = up
        self.norms = nn.ModuleList([norm(inputs), norm(inner)])
        self.convs = nn.ModuleList([nn.Conv2d(inputs, inner, 3, 1, 1, bias=False), nn.Conv2d(inner, outputs, 3, 1, 1)])
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x):
        twice = lambda x: F.interpolate(x, scale_factor=2, mode="nearest")
        half = lambda x: F.avg_pool2d(x, 2)
        y = self.norms[0](x).relu()
        y = self.convs[0](twice(y) if self.up else y)
        y = self.convs[1](self.norms[1](y).relu())
        return y + self.shortcut(twice(x)) if self.up else half(y) + self.shortcut(half(x))


def widths(side, width):
    levels = (side // 4).bit_length() - 1
    return [width * 2 ** min(level, 3) for level in range(levels + 1)]


class ResidualGenerator(nn.Module):
    def __init__(self, side, width, latent):
        super().__init__()
        channels = widths(side, width)[::-1]
        self.first = nn.Linear(latent, channels[0] * 16)
        self.blocks = nn.ModuleList(Block(a, b, True, nn.BatchNorm2d) for a, b in zip(channels, channels[1:]))
        self.norm, self.last = nn.BatchNorm2d(width), nn.Conv2d(width, 3, 3, 1, 1)

    def forward(self, z):
        x = self.first(z.flatten(1))
        x = x.reshape(len(x), -1, 4, 4)
        for block in self.blocks:
            x = block(x)
        return self.last(self.norm(x).relu()).tanh()


class ResidualEncoder(nn.Module):
    def __init__(self, side, width, outputs, norm):
        super().__init__()
        channels = widths(side, width)
        self.first = nn.Conv2d(3, width, 3, 1, 1)
        self.blocks = nn.ModuleList(Block(a, b, False, norm) for a, b in zip(channels, channels[1:]))
        self.head = nn.Linear(channels[-1] * 16, outputs)

    def features(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


class Unit(nn.Module):
    def __init__(self, conv, norm, activation):
        super().__init__()
        self.conv, self.norm, self.activation = conv, norm, activation

    def forward(self, x):
        y = self.conv(x)
        return self.activation(y if self.norm is None else self.norm(y))


class StridedEncoder(nn.Module):
    def __init__(self, side, width, outputs, norm):
        super().__init__()
        leaky = nn.LeakyReLU(0.2)
        units, size = [Unit(nn.Conv2d(3, width, 4, 2, 1, bias=False), None, leaky)], side // 2
        while size > 4:
            units.append(Unit(nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), norm(2 * width), leaky))
            width, size = 2 * width, size // 2
        self.units, self.head = nn.ModuleList(units), nn.Conv2d(width, outputs, 4, bias=False)

    def features(self, x):
        for unit in self.units:
            x = unit(x)
        return x

    def forward(self, x):
        return self.head(self.features(x)).flatten(1)


class StridedGenerator(nn.Module):
    def __init__(self, side, width, latent):
        super().__init__()
        deepest = width * side // 8
        units = [Unit(nn.ConvTranspose2d(latent, deepest, 4, bias=False), nn.BatchNorm2d(deepest), nn.ReLU())]
        while deepest > width:
            conv = nn.ConvTranspose2d(deepest, deepest // 2, 4, 2, 1, bias=False)
            deepest //= 2
            units.append(Unit(conv, nn.BatchNorm2d(deepest), nn.ReLU()))
        self.units, self.last = nn.ModuleList(units), nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False)

    def forward(self, z):
        for unit in self.units:
            z = unit(z)
        return self.last(z).tanh()


def named(prefix, module):
    """Weights by blemish's names: those of the modules here, with the kind of each norm and convolution in a unit."""
    found = {}
    for path, layer in module.named_modules():
        if isinstance(layer, (nn.BatchNorm2d, ImageNorm)):
            # The last norm of the residual generator is always one over the batch.
            kind = "" if path == "norm" else ".Batch" if isinstance(layer, nn.BatchNorm2d) else ".Group"
            found[f"{path}{kind}.gain"], found[f"{path}{kind}.shift"] = layer.weight, layer.bias
            if isinstance(layer, nn.BatchNorm2d):
                found[f"{path}{kind}.mean"], found[f"{path}{kind}.variance"] = layer.running_mean, layer.running_var
        elif isinstance(layer, nn.Linear):
            found[f"{path}.weight"], found[f"{path}.bias"] = layer.weight.T, layer.bias
        elif isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            kind = ""
            if path.startswith("units."):
                kind = ".Transposed" if isinstance(layer, nn.ConvTranspose2d) else ".Plain"
            found[f"{path}{kind}.weight"] = layer.weight
            if layer.bias is not None:
                found[f"{path}{kind}.bias"] = layer.bias
    return {f"{prefix}{name}": value.detach().clone() for name, value in found.items()}


def spread(*modules):
    """Weights of the size that a training gives them, norms away from their start."""
    for module in modules:
        for layer in module.modules():
            if isinstance(layer, (nn.BatchNorm2d, ImageNorm)):
                nn.init.normal_(layer.weight, 1.0, 0.2)
                nn.init.normal_(layer.bias, 0.0, 0.2)
            elif isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                nn.init.normal_(layer.weight, 0.0, (2.0 / layer.weight[0].numel()) ** 0.5)
                if layer.bias is not None:
                    nn.init.normal_(layer.bias, 0.0, 0.1)
        module.double()


def slope_of(critic, x, graph):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(critic(x).sum(), x, create_graph=graph)[0]


def without_moving(generator, z):
    """What a generator makes in training, its stored moments as before."""
    with torch.no_grad():
        return copy.deepcopy(generator)(z)


def run(out, case, generator, critic, encoder, side, latent, batch, rates):
    spread(generator, critic, encoder)
    kind = {"residual": "Residual.", "dcgan": "Dcgan."}[case]
    put = lambda name, value: out.__setitem__(f"{case}.{name}", value.detach().float().clone())

    def weights(name, *parts):
        for prefix, module in parts:
            for path, value in named(prefix, module).items():
                put(f"{name}.{path}", value)

    both = [(f"generator.{kind}", generator), (f"critic.{kind}", critic)]
    weights("before", *both)
    x, y = ((torch.rand(count, 3, side, side) * 2 - 1).double() for count in [batch, 3])
    codes, other_codes = (torch.randn(batch, latent, 1, 1).double() for _ in range(2))
    mix = torch.rand(batch, 1, 1, 1).double()
    for name, value in [("x", x), ("y", y), ("codes", codes), ("other_codes", other_codes), ("mix", mix)]:
        put(name, value)
    made = without_moving(generator, codes)
    put("made", made)
    put("slope", slope_of(critic, x, False))
    adam = lambda module: torch.optim.Adam(module.parameters(), lr=rates[0], betas=(0.0, 0.9), eps=EPSILON)
    of_critic, of_generator = adam(critic), adam(generator)

    norm = slope_of(critic, x + mix * (made - x), True).flatten(1).norm(dim=1)
    critic_loss = critic(made).mean() - critic(x).mean() + 10 * ((norm - 1) ** 2).mean()
    critic_loss.backward()
    of_critic.step()
    generator_loss = -critic(generator(other_codes)).mean()
    of_generator.zero_grad()
    generator_loss.backward()
    of_generator.step()
    put("critic_loss", critic_loss.reshape(1))
    put("generator_loss", generator_loss.reshape(1))
    weights("after", *both)

    # As they are stored.
    for module in [generator, critic]:
        module.float().double().eval()
    weights("encoder_before", (kind, encoder))
    image = generator(encoder(x).tanh()[..., None, None])
    loss = ((x - image) ** 2).mean() + ((critic.features(x) - critic.features(image)) ** 2).mean()
    of_encoder = torch.optim.RMSprop(encoder.parameters(), lr=rates[1], eps=EPSILON)
    loss.backward()
    of_encoder.step()
    put("encoder_loss", loss.reshape(1))
    weights("encoder_after", (kind, encoder))

    encoder.eval()
    with torch.no_grad():
        encode = lambda x: encoder(x).tanh()[..., None, None]
        image = generator(encode(y))
        mean = lambda difference: (difference**2).flatten(1).mean(1)
        put("scores", mean(y - image) + mean(critic.features(y) - critic.features(image)))
        put("code_scores", mean(encode(y) - encode(image)))


parser = argparse.ArgumentParser()
parser.add_argument("file", nargs="?")
parser.add_argument("--published", metavar="FOLDER")
args = parser.parse_args()
torch.manual_seed(4)
out = {}


def networks(kind, side, width, latent):
    if kind == "residual":
        encoders = [ResidualEncoder(side, width, outputs, norm) for outputs, norm in [(1, ImageNorm), (latent, nn.BatchNorm2d)]]
        return ResidualGenerator(side, width, latent), *encoders
    encoders = [StridedEncoder(side, width, outputs, norm) for outputs, norm in [(1, ImageNorm), (latent, nn.BatchNorm2d)]]
    return StridedGenerator(side, width, latent), *encoders


# Steps that show beside the weights, and not so large that codes and images end at 1 and -1.
if args.published:
    run(out, "residual", *networks("residual", 64, 64, 128), 64, 128, 4, (1e-3, 1e-4))
else:
    for kind in ["residual", "dcgan"]:
        run(out, kind, *networks(kind, 16, 2, 5), 16, 5, 3, (1e-2, 1e-3))
path = f"{args.published}/fanogan.safetensors" if args.published else args.file
save_file({name: value.contiguous() for name, value in out.items()}, path)
print(len(out), "tensors,", os.path.getsize(path), "bytes")
