"""Golden activations of every network under seeded weights that need no file.

Makes networks.json. Every tensor of a state dict is filled by a hash of its own name (see `values`), which the Rust test
`golden_networks` computes again, so that only a few output numbers are stored. The networks run in double precision.

Made with Python 3.11, torch 2.15.0, torchvision 0.29.2, timm 1.0.31, efficientnet_pytorch 0.7.1, numpy:
    python make_networks.py networks.json
"""

import json
import sys

import numpy as np
import timm
import torch
import torchvision

SAMPLES = 12
HEIGHT, WIDTH = 70, 97  # Odd sizes on the way tell the padding conventions apart.
GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)


def uniform(name, count):
    """`count` numbers in [0, 1): SplitMix64 started at the FNV-1a hash of the name, upper 24 bits."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        x = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN_RATIO
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(40)).astype(np.float64) / 2**24


def values(name, shape):
    """Weights that keep activations in range through many layers; rounded to single precision."""
    u = uniform(name, int(np.prod(shape)))
    if name.endswith("running_var"):
        v = 0.5 + u
    elif name.endswith(("running_mean", "bias")) or name == "input":
        v = (2 * u - 1) * (1.0 if name == "input" else 0.1)
    elif len(shape) == 1:
        v = 0.75 + 0.5 * u
    else:
        v = (2 * u - 1) * np.sqrt(4.0 / np.prod(shape[1:]))
    return torch.from_numpy(v.astype(np.float32).astype(np.float64)).reshape(shape)


def filled(model):
    model = model.double().eval()
    state = {
        name: tensor if name.endswith("num_batches_tracked") else values(name, tuple(tensor.shape))
        for name, tensor in model.state_dict().items()
    }
    model.load_state_dict(state)
    return model


def summary(tensor):
    flat = tensor.detach().double().flatten()
    picks = [(flat.numel() - 1) * i // (SAMPLES - 1) for i in range(SAMPLES)]
    return {
        "shape": list(tensor.shape),
        "rms": float(flat.square().mean().sqrt()),
        "samples": [float(flat[i]) for i in picks],
    }


def case(network, names, model, taps, logits=True):
    """`taps`: our name of a feature map -> the module whose output it is."""
    modules, outputs = dict(model.named_modules()), {}
    for tap, module in taps.items():
        # Cloned at once, since later modules may work in place.
        modules[module].register_forward_hook(lambda _m, _i, out, tap=tap: outputs.update({tap: out.clone()}))
    image = values("input", (1, 3, HEIGHT, WIDTH))
    with torch.no_grad():
        out = filled(model)(image)
    if logits:
        outputs["logits"] = out.reshape(1, -1, 1, 1)
    parameters = sum(p.numel() for p in model.parameters())
    print(network, names, parameters, {k: tuple(v.shape) for k, v in outputs.items()}, flush=True)
    return {
        "network": network,
        "names": names,
        "parameters": parameters,
        "taps": {tap: summary(out) for tap, out in outputs.items()},
    }


def cases():
    resnet = {f"layer{i}": f"layer{i}" for i in (1, 2, 3, 4)}
    for name in ["resnet18", "resnet34", "resnet50", "resnet101", "wide_resnet50_2", "wide_resnet101_2"]:
        yield case(name, "torchvision's", torchvision.models.get_model(name), resnet)
    yield case("resnet50", "torchvision's", timm.create_model("resnet50"), resnet)

    in_torchvision = {"stem": "features.0", **{f"stage{i}": f"features.{i}" for i in range(1, 8)}}
    in_timm = {f"stage{i}": f"blocks.{i - 1}" for i in range(1, 8)}
    for i in range(6):
        name = f"efficientnet_b{i}"
        yield case(name, "torchvision's", torchvision.models.get_model(name), in_torchvision)
        yield case(name, "timm's", timm.create_model(name), in_timm)
        yield case(f"tf_{name}", "timm's", timm.create_model(f"tf_{name}"), in_timm)
    for i in range(3):
        name = f"efficientnet_lite{i}"
        yield case(name, "timm's", timm.create_model(f"tf_{name}"), in_timm)
    from efficientnet_pytorch import EfficientNet

    # Its static padding is laid out for the size it is told; the first blocks of B0 end at 0, 2, 4, 7 and 10.
    flat = {"stage1": "_blocks.0", "stage2": "_blocks.2", "stage3": "_blocks.4", "stage5": "_blocks.10"}
    model = EfficientNet.from_name("efficientnet-b0", image_size=(HEIGHT, WIDTH))
    yield case("tf_efficientnet_b0", "efficientnet_pytorch's", model, flat)

    # B4 as UniAD has it: padding laid out for 380 x 380, whatever the image. Block 1, 5, 9 and 21 end stages 1, 2, 3 and 5.
    flat = {"stage1": "_blocks.1", "stage2": "_blocks.5", "stage3": "_blocks.9", "stage5": "_blocks.21", "stage6": "_blocks.29"}
    yield case("efficientnet_b4_380", "efficientnet_pytorch's", EfficientNet.from_name("efficientnet-b4"), flat)

    own = lambda *indices: {f"features.{i}": f"features.{i}" for i in indices}
    yield case("mobilenet_v2", "torchvision's", torchvision.models.mobilenet_v2(), own(0, 1, 3, 6, 13, 17, 18))
    in_timm = {"features.1": "blocks.0", "features.3": "blocks.1", "features.6": "blocks.2", "features.13": "blocks.4"}
    yield case("mobilenet_v2", "timm's", timm.create_model("mobilenetv2_100"), in_timm)
    yield case("squeezenet1_1", "torchvision's", torchvision.models.squeezenet1_1(), own(2, 3, 4, 7, 12))
    for name, indices in [("vgg16", (3, 15, 16, 22, 29, 30)), ("alexnet", (1, 4, 7, 11, 12))]:
        model = torchvision.models.get_model(name)
        model.classifier = torch.nn.Identity()
        yield case(name, "torchvision's", model, own(*indices), logits=False)


if __name__ == "__main__":
    torch.manual_seed(0)
    lines = (json.dumps(case) for case in cases())
    open(sys.argv[1], "w").write("[\n" + ",\n".join(lines) + "\n]\n")
