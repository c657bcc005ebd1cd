"""Golden values of GANomaly: forward pass, losses and one step of both sides, as published and as anomalib 2.7.0 has it.

usage: python make_ganomaly.py ganomaly.safetensors
       python make_ganomaly.py --published FOLDER      the published width, images of 64
needs: anomalib==2.7.0, torch, safetensors, numpy (any CPU build)

`anomalib.*` are of anomalib's own torch model and losses, whose step is written out as its training step has it. `published.*` are of the
networks below, which follow the authors' release: the same layers with padding 1 at the first convolution, ReLU after extra layers of
the decoder, a loss between the discriminator's features and squared differences between the codes; no other part is shared.

All runs in double precision on weights and inputs that single precision holds exactly. So does the test at the published width: in a wide
network some value lies within rounding of zero, where a rectifier's slope jumps. EPSILON is of the size of the gradients: at PyTorch's own a
first step goes by their signs alone.

CASE.x are the images of the step, CASE.y others, scored after it by stored moments; CASE.before.NAME and CASE.after.NAME weights by the names of
blemish; CASE.image, code and second_code what the generator makes of x before the step; CASE.losses L_G and L_D; CASE.scores.

Made with Python 3.11, torch 2.15.0, anomalib 2.7.0, safetensors 0.8.0.
"""

import argparse
import importlib.util
import os
import sys
import types

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

# A step that shows beside weights of about 0.3.
RATE, EPSILON = 1e-2, 1e-2


def anomalib_files():
    """The model and its losses. Of the rest of anomalib they need the padding to powers of two and the type of a result alone."""
    try:
        from anomalib.models.image.ganomaly import loss, torch_model
    except ImportError:
        folder = next(path for path in map(lambda path: os.path.join(path, "anomalib"), sys.path) if os.path.isdir(path))
        data, utils, image = (types.ModuleType(name) for name in ["anomalib.data", "anomalib.data.utils", "anomalib.data.utils.image"])
        data.InferenceBatch = lambda **fields: types.SimpleNamespace(**fields)
        image.pad_nextpow2 = lambda batch: batch  # All images here are powers of two.
        for module in [types.ModuleType("anomalib"), data, utils, image]:
            sys.modules[module.__name__] = module

        def load(name):
            spec = importlib.util.spec_from_file_location(name, f"{folder}/models/image/ganomaly/{name}.py")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module

        torch_model, loss = load("torch_model"), load("loss")
    return torch_model, loss


class Coder(nn.Module):
    """The released encoder; with `outputs` 1 the discriminator."""

    def __init__(self, side, width, outputs, extra):
        super().__init__()
        layers = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        for _ in range(extra):
            layers += [nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
        size = side // 2
        while size > 4:
            layers += [nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2)]
            width, size = 2 * width, size // 2
        self.features = nn.Sequential(*layers)
        self.head = nn.Conv2d(width, outputs, 4, 1, 0, bias=False)

    def forward(self, x):
        return self.head(self.features(x))


class Painter(nn.Module):
    """The released decoder."""

    def __init__(self, side, width, latent, extra):
        super().__init__()
        deepest = width * side // 8
        layers = [nn.ConvTranspose2d(latent, deepest, 4, 1, 0, bias=False), nn.BatchNorm2d(deepest), nn.ReLU()]
        while deepest > width:
            layers += [nn.ConvTranspose2d(deepest, deepest // 2, 4, 2, 1, bias=False), nn.BatchNorm2d(deepest // 2), nn.ReLU()]
            deepest //= 2
        for _ in range(extra):
            layers += [nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z):
        return self.layers(z)


def layers_of(module):
    """Convolutions and norms in the order of the data."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)
    return [layer for layer in module.modules() if isinstance(layer, kinds)]


def named(prefix, module, last):
    """Weights of an encoder or a decoder by blemish's names; `last` is what it calls the last convolution."""
    layers = layers_of(module)
    weights, unit = {}, -1
    for layer in layers[:-1]:
        if isinstance(layer, nn.BatchNorm2d):
            name = f"{prefix}units.{unit}.norm.Batch."
            weights[name + "gain"], weights[name + "shift"] = layer.weight, layer.bias
            weights[name + "mean"], weights[name + "variance"] = layer.running_mean, layer.running_var
        else:
            unit += 1
            kind = "Transposed" if isinstance(layer, nn.ConvTranspose2d) else "Plain"
            weights[f"{prefix}units.{unit}.conv.{kind}.weight"] = layer.weight
    weights[f"{prefix}{last}.weight"] = layers[-1].weight
    return {name: value.detach().clone() for name, value in weights.items()}


def all_weights(encoder, decoder, second, discriminator):
    moments = ("mean", "variance")
    found = {**named("generator.encoder.", encoder, "head"), **named("generator.decoder.", decoder, "last")}
    found |= named("generator.second.", second, "head")
    # Nothing depends on the discriminator's moments: it always goes by its batch.
    found |= {name: value for name, value in named("discriminator.", discriminator, "head").items() if not name.endswith(moments)}
    return found


def spread(modules):
    """Weights of the size that a training gives them, and gains away from 1: at the start all codes are nearly 0."""
    for module in modules:
        for layer in layers_of(module):
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.weight, 1.0, 0.2)
                nn.init.normal_(layer.bias, 0.0, 0.2)
            else:
                nn.init.normal_(layer.weight, 0.0, (2.0 / layer.weight[0].numel()) ** 0.5)
        module.double()


def store(out, case, before, after, x, y, made, losses, scores):
    for name, value in before.items():
        out[f"{case}.before.{name}"] = value
    for name, value in after.items():
        out[f"{case}.after.{name}"] = value
    image, code, second_code = made
    found = {"x": x, "y": y, "image": image, "code": code, "second_code": second_code, "scores": scores, "losses": torch.stack(losses)}
    out.update({f"{case}.{name}": value.detach() for name, value in found.items()})


def images(count, side):
    return (torch.rand(count, 3, side, side) * 2 - 1).double()


def adam(modules):
    return torch.optim.Adam([weight for module in modules for weight in module.parameters()], lr=RATE, betas=(0.5, 0.999), eps=EPSILON)


class CrossEntropy(nn.BCELoss):
    """anomalib makes its targets in single precision."""

    def forward(self, found, target):
        return super().forward(found, target.to(found.dtype))


def published(out, side, width, latent, extra, batch):
    encoder, second = Coder(side, width, latent, extra), Coder(side, width, latent, extra)
    decoder, discriminator = Painter(side, width, latent, extra), Coder(side, width, 1, extra)
    parts = [encoder, decoder, second, discriminator]
    spread(parts)
    before = all_weights(*parts)
    x, y = images(batch, side), images(3, side)
    of_generator, of_discriminator = adam(parts[:3]), adam(parts[3:])
    z = encoder(x)
    made = decoder(z)
    z_hat = second(made)
    logits = [discriminator(x), discriminator(made.detach())]
    loss_d = (F.binary_cross_entropy_with_logits(logits[0], torch.ones_like(logits[0]))
              + F.binary_cross_entropy_with_logits(logits[1], torch.zeros_like(logits[1]))) / 2
    adversarial = ((discriminator.features(x) - discriminator.features(made)) ** 2).mean()
    loss_g = adversarial + 50 * (x - made).abs().mean() + ((z - z_hat) ** 2).mean()
    # Both losses come from the weights before the step.
    gradients = torch.autograd.grad(loss_g, [w for part in parts[:3] for w in part.parameters()], retain_graph=True)
    for weight, gradient in zip([w for part in parts[:3] for w in part.parameters()], gradients):
        weight.grad = gradient
    of_discriminator.zero_grad()
    loss_d.backward()
    of_generator.step()
    of_discriminator.step()
    after = all_weights(*parts)
    [part.eval() for part in parts]
    with torch.no_grad():
        code = encoder(y)
        scores = ((code - second(decoder(code))) ** 2).mean((1, 2, 3))
    store(out, "published", before, after, x, y, (made, z, z_hat), [loss_g, loss_d], scores)


def anomalib(out, side, width, latent, extra, batch):
    torch_model, loss = anomalib_files()
    model = torch_model.GanomalyModel((side, side), 3, width, latent, extra)
    generator, discriminator = model.generator, model.discriminator
    parts = [generator.encoder1, generator.decoder, generator.encoder2, discriminator]
    spread(parts)
    before = all_weights(*parts)
    x, y = images(batch, side), images(3, side)
    of_generator, of_discriminator = adam([generator]), adam([discriminator])
    generator_loss, discriminator_loss = loss.GeneratorLoss(1, 50, 1), loss.DiscriminatorLoss()
    discriminator_loss.loss_bce = CrossEntropy()
    model.train()
    padded, made, z, z_hat = model(x)
    real = model.discriminator(padded)[0]
    loss_g = generator_loss(z, z_hat, padded, made, real, model.discriminator(made)[0])
    of_generator.zero_grad()
    loss_g.backward(retain_graph=True)
    of_generator.step()
    loss_d = discriminator_loss(real, model.discriminator(made.detach())[0])
    of_discriminator.zero_grad()
    loss_d.backward()
    of_discriminator.step()
    after = all_weights(*parts)
    model.eval()
    with torch.no_grad():
        scores = model(y).pred_score
    store(out, "anomalib", before, after, x, y, (made, z, z_hat), [loss_g, loss_d], scores)


parser = argparse.ArgumentParser()
parser.add_argument("file", nargs="?")
parser.add_argument("--published", metavar="FOLDER")
args = parser.parse_args()
torch.manual_seed(3)
size = (64, 64, 100, 0, 8) if args.published else (32, 4, 8, 1, 4)
out = {}
published(out, *size)
anomalib(out, *size)
path = f"{args.published}/ganomaly.safetensors" if args.published else args.file
save_file({name: value.float().contiguous() for name, value in out.items()}, path)
print(len(out), "tensors,", os.path.getsize(path), "bytes")
