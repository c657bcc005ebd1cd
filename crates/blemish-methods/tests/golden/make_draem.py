"""Golden values of DRAEM: forward pass, losses and one step, with the networks of anomalib 2.7.0.

usage: python make_draem.py draem.safetensors
       python make_draem.py --published FOLDER      the published widths
needs: anomalib==2.7.0 (with kornia), torch, safetensors (any CPU build)

Networks, and the loss `anomalib.loss`, are anomalib's own. It joins image and repair in the other order, so the input channels of the
segmenting network's first convolution are swapped here. The other losses are written out from the released code of DRAEM: similarity
with zeros beyond the border, focal loss of smoothed probabilities. The step is of these.

CASE.images with defects, CASE.good without, CASE.masks; CASE.before.NAME and CASE.after.NAME weights by the names of blemish, those
after the step without biases in front of a normalisation, whose gradient is rounding; CASE.scored.* in evaluation mode before the step;
CASE.losses: l2, 1 - similarity, focal (and the predictive block's).

The step is to be compared in double precision: in single precision a few of the values before a ReLU change their sign by rounding,
which changes gradients by some percent.

Made with Python 3.11, torch 2.15.0, anomalib 2.7.0, kornia 0.9.0, safetensors 0.8.0.
"""

import argparse
import os

import torch
from anomalib.models.image.draem.loss import DraemLoss
from anomalib.models.image.draem.torch_model import DiscriminativeSubNetwork, DraemModel, ReconstructiveSubNetwork
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F


def units(sequential):
    """Convolutions with the norms behind them."""
    layers = [layer for layer in sequential if isinstance(layer, (nn.Conv2d, nn.BatchNorm2d))]
    return list(zip(layers[::2], layers[1::2]))


def of_unit(prefix, unit):
    conv, norm = unit
    yield f"{prefix}conv.weight", conv.weight
    yield f"{prefix}conv.bias", conv.bias
    yield f"{prefix}norm.gain", norm.weight
    yield f"{prefix}norm.shift", norm.bias
    yield f"{prefix}norm.mean", norm.running_mean
    yield f"{prefix}norm.variance", norm.running_var


def of_pair(prefix, sequential):
    first, second = units(sequential)
    yield from of_unit(f"{prefix}first.", first)
    yield from of_unit(f"{prefix}second.", second)


def of_block(prefix, block):
    # Ours: top left, bottom left, top right, bottom right.
    for number, conv in enumerate([block.masked_conv1, block.masked_conv3, block.masked_conv2, block.masked_conv4]):
        yield f"{prefix}corners.{number}.weight", conv.weight
        yield f"{prefix}corners.{number}.bias", conv.bias
    for name, linear in [("squeeze", block.attention_module.fc1), ("excite", block.attention_module.fc2)]:
        yield f"{prefix}{name}.weight", linear.weight.T
        yield f"{prefix}{name}.bias", linear.bias


def named(model):
    """All weights by blemish's names."""
    repair, segment = model.reconstructive_subnetwork, model.discriminative_subnetwork

    def walk():
        for part, encoder, decoder, stages, ups in [
            ("repair.", repair.encoder, repair.decoder, 5, ["1", "2", "3", "4"]),
            ("segment.", segment.encoder_segment, segment.decoder_segment, 6, ["_b", "1", "2", "3", "4"]),
        ]:
            for number in range(stages):
                stage = getattr(encoder, f"block{number + 1}")
                if isinstance(stage, nn.Sequential):
                    yield from of_pair(f"{part}encoder.stages.{number}.", stage)
                else:
                    yield from of_block(f"{part}encoder.block.", stage)
            for number, name in enumerate(ups):
                yield from of_unit(f"{part}rises.{number}.up.", units(getattr(decoder, f"up{name}"))[0])
                yield from of_pair(f"{part}rises.{number}.pair.", getattr(decoder, f"db{name}"))
            yield f"{part}out.weight", decoder.fin_out[0].weight
            yield f"{part}out.bias", decoder.fin_out[0].bias

    found = {name: value.detach().clone() for name, value in walk()}
    first = "segment.encoder.stages.0.first.conv.weight"
    found[first] = torch.cat([found[first][:, 3:], found[first][:, :3]], 1)
    return found


def spread(model):
    """Weights of the size that a training gives them, gains and biases away from where they start."""
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.normal_(layer.weight, 0.0, (2.0 / layer.weight[0].numel()) ** 0.5)
            nn.init.normal_(layer.bias, 0.0, 0.1)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.2)
            nn.init.normal_(layer.bias, 0.0, 0.2)
            nn.init.normal_(layer.running_mean, 0.0, 0.2)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    # Values that single precision holds.
    model.float().double()


def similarity(x, y):
    at = torch.arange(11, dtype=x.dtype) - 5
    row = torch.exp(-(at**2) / (2 * 1.5**2))
    row = row / row.sum()
    window = (row[:, None] * row[None, :]).expand(3, 1, 11, 11)
    mean = lambda z: F.conv2d(z, window, padding=5, groups=3)
    mx, my = mean(x), mean(y)
    vx, vy, cxy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * mx * my + c1) * (2 * cxy + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))).mean()


def focal(logits, masks):
    p = torch.softmax(logits, 1)
    y = torch.cat([1 - masks, masks], 1).clamp(1e-5, 1 - 1e-5)
    q = (y * p).sum(1) + 1e-5
    return (-((1 - q) ** 2) * torch.log(q)).mean()


def case(out, name, widths, side, batch, sspcab):
    model = DraemModel(sspcab=False)
    model.reconstructive_subnetwork = ReconstructiveSubNetwork(base_width=widths[0], sspcab=sspcab)
    model.discriminative_subnetwork = DiscriminativeSubNetwork(in_channels=6, out_channels=2, base_width=widths[1])
    spread(model)
    before = named(model)
    good = torch.rand(batch, 3, side, side).double()
    masks = torch.zeros(batch, 1, side, side).double()
    masks[:, :, side // 4 : side // 2, side // 3 : side // 3 * 2] = 1
    images = good * (1 - masks) + torch.rand(batch, 3, side, side).double() * masks
    good, images = good.float().double(), images.float().double()

    model.eval()
    with torch.no_grad():
        repaired = model.reconstructive_subnetwork(images)
        logits = model.discriminative_subnetwork(torch.cat([images, repaired], 1))
        scored = model(images)
    probabilities = torch.softmax(logits, 1)
    assert torch.equal(scored.anomaly_map, probabilities[:, 1])

    model.train()
    seen = {}
    encoder = model.reconstructive_subnetwork.encoder
    encoder.mp4.register_forward_hook(lambda _, __, x: seen.update(x=x))
    encoder.block5.register_forward_hook(lambda _, __, z: seen.update(z=z))
    made, logits = model(images)
    losses = [F.mse_loss(made, good), 1 - similarity(made, good), focal(logits, masks)]
    total = sum(losses)
    if sspcab:
        losses.append(F.mse_loss(seen["z"], seen["x"]))
        total = total + 0.1 * losses[-1]
    theirs = DraemLoss()(good, made, masks, logits)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2, eps=1e-3)
    total.backward()
    optimiser.step()
    after = {key: value for key, value in named(model).items() if not (key.endswith("conv.bias"))}

    found = {
        "images": images, "good": good, "masks": masks, "scored.repaired": repaired, "scored.probabilities": probabilities,
        "scored.largest": scored.pred_score.max().reshape(1), "losses": torch.stack(losses), "anomalib.loss": theirs.reshape(1),
    }
    found |= {f"before.{key}": value for key, value in before.items()} | {f"after.{key}": value for key, value in after.items()}
    out.update({f"{name}.{key}": value.detach().float().contiguous() for key, value in found.items()})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?")
    parser.add_argument("--published", metavar="FOLDER")
    arguments = parser.parse_args()
    torch.manual_seed(7)
    out = {}
    if arguments.published:
        case(out, "plain", (128, 64), 32, 2, False)
        save_file(out, os.path.join(arguments.published, "draem.safetensors"))
    if arguments.file:
        case(out, "plain", (2, 1), 32, 3, False)
        case(out, "sspcab", (2, 1), 64, 2, True)
        save_file(out, arguments.file)


if __name__ == "__main__":
    main()
