"""Backbones in bytes beside single precision: what they cost in accuracy, and what they save in time.

    python benches/precision.py target/release/blemish accuracy DATA WEIGHTS OUT.json [--seeds 3] [--sets a,b] [--methods padim] [--embedded]
    python benches/precision.py target/release/blemish speed WEIGHTS [--runs 5] [--sides 256 512 default] [--threads 1 2] [--before PROGRAM]
    python benches/precision.py target/release/blemish peers WEIGHTS PYTHON [--runs 3]
    python benches/precision.py target/release/examples/backbone_times engines [--rounds 3] [--runs 10]

`accuracy` fits each method in single precision, with `--precision int8` and with `auto`, and evaluates; results are kept in OUT.json, so that an
interrupted run goes on where it stopped; with `--embedded` the backbone is the one that is compiled in. `speed` times `predict` of 40 images, by turns: wall
milliseconds an image, of the difference between 40 images and 8, so that the start of the program does not count; `default` is the size that the program
chooses for images of 512x512 pixels; with `--before` also by the program of another commit, in single precision. `peers` times the same beside anomalib's own exports for OpenVINO; PYTHON has anomalib, ResNet-18 of
WEIGHTS is on both sides, one thread each. DATA holds sets in MVTec AD layout, WEIGHTS the state dict of
ResNet-18. `engines` times the networks alone, on one thread, from 256x256 pixels to stride 16: ours beside ONNX Runtime and OpenVINO, CPU milliseconds an
image, lower quartiles by turns; weights are made up; ViT-S has its last block's tokens at 252x252 pixels. It needs torch, torchvision, timm, onnx, onnxscript, onnxruntime and openvino, the others Python's standard library alone.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from blemish import NAMES, Program, Rows, figures, mean_and_spread, run, shown

SETS = ["mvtec/screw", "magnetic_tile", "deeppcb", "mvtec/leather", "elpv_mono"]
METHODS = ["patchcore", "padim", "fapm"]
PRECISIONS = {"single": "single precision", "int8": "bytes"}
MANY, FEW = 40, 8


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Program, help="the program, for `engines` the example backbone_times of blemish-features")
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("accuracy")
    for name in ("data", "weights", "out"):
        one.add_argument(name, type=Path)
    one.add_argument("--seeds", type=int, default=3)
    one.add_argument("--sets", default=",".join(SETS))
    one.add_argument("--methods", default=",".join(METHODS))
    one.add_argument("--embedded", action="store_true")
    one.set_defaults(run=accuracy)
    one = commands.add_parser("speed")
    one.add_argument("weights", type=Path)
    one.add_argument("--runs", type=int, default=5)
    one.add_argument("--sides", nargs="+", default=["256", "512"])
    one.add_argument("--threads", type=int, nargs="+", default=[1])
    one.add_argument("--before", type=Program)
    one.set_defaults(run=speed)
    one = commands.add_parser("peers")
    one.add_argument("weights", type=Path)
    one.add_argument("python", type=Path)
    one.add_argument("--methods", nargs="+", default=list(PEER_SETTINGS))
    one.add_argument("--runs", type=int, default=3)
    one.set_defaults(run=peers)
    one = commands.add_parser("engines")
    one.add_argument("--rounds", type=int, default=3, help="turns of all")
    one.add_argument("--runs", type=int, default=10, help="batches a turn")
    one.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    one.add_argument("--networks", nargs="+", default=list(NETWORKS))
    one.set_defaults(run=engines)
    args = parser.parse_args()
    args.run(args)


STATE_DICT = "resnet18-layer1to3-bnfolded.safetensors"


def resnet18(weights, layers="layer2,layer3"):
    return ["--backbone", "resnet18", "--weights", weights / STATE_DICT, "--layers", layers]


def accuracy(args):
    kept = json.loads(args.out.read_text()) if args.out.exists() else {}
    sets, methods = args.sets.split(","), args.methods.split(",")

    def known(key, find):
        if key not in kept:
            kept[key] = find()
            args.out.write_text(json.dumps(kept, indent=1))
        return kept[key]

    rows = Rows("precision-accuracy-embedded" if args.embedded else "precision-accuracy")
    print("| set | method | figure | single | int8 | auto takes |\n|---|---|---|---:|---:|---|")
    for name in sets:
        # What it takes depends on backbone and images, not on the method.
        takes = known(f"{name}|auto", lambda: fitted(args, name, "padim", "auto", 0, lambda model: precision_of(args, model)))
        for method in methods:
            runs = {}
            for precision in PRECISIONS:
                found = [(f"{name}|{method}|{precision}|{seed}", seed) for seed in range(args.seeds)]
                runs[precision] = [known(key, lambda: measure(args, name, method, precision, seed)) for key, seed in found]
            for key, metric in NAMES.items():
                cells = {precision: mean_and_spread([run[key] for run in runs[precision]], 100) for precision in PRECISIONS}
                if not cells["single"][0]:
                    continue
                for precision, (value, spread) in cells.items():
                    rows.add(set=name, method=method, variant=PRECISIONS[precision], metric=metric, value=value, spread=spread, seeds=args.seeds)
                print(f"| {name} | {method} | {metric} | {shown(*cells['single'])} | {shown(*cells['int8'])} | {takes} |", flush=True)


def measure(args, name, method, precision, seed):
    def judge(model):
        found, _ = args.program.evaluate(model, args.data / name)
        return {"bytes": model.stat().st_size, **figures(found)}

    return fitted(args, name, method, precision, seed, judge)


def fitted(args, name, method, precision, seed, use):
    """What `use` makes of a fitted model."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.blemish"
        options = ["--method", method, "--size", "256x256", "--folds", "0", "--seed", seed, "--precision", precision]
        options += [] if args.embedded else resnet18(args.weights)
        args.program.fit(args.data / name, model, *options)
        return use(model)


def precision_of(args, model):
    return args.program.info(model)["backbone"].get("precision", "single")


def speed(args):
    rows = Rows("precision-speed")
    programs = {"single precision": (args.program, ["--precision", "single"]), "bytes": (args.program, ["--precision", "int8"])}
    if args.before:
        programs = {"before": (args.before, []), **programs}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        columns = [f"{name}, ms" for name in programs] + [f"{name} / bytes" for name in programs if name != "bytes"]
        print("| method | backbone | pixels | threads | " + " | ".join(columns) + " |\n" + "|---" * 4 + "|---:" * len(columns) + "|")
        for side in args.sides:
            data = folder / f"set-{side}"
            size = [] if side == "default" else ["--size", f"{side}x{side}"]
            images = size or ["--size", "512x512"]
            args.program.synth(data, "--look", "metal", "--train", MANY, "--test-good", 1, "--test-per-defect", 1, *images)
            images = sorted((data / "train" / "good").iterdir())
            for method in ("patchcore", "padim"):
                for backbone, options in (("efficientnet-lite0", []), ("resnet18", resnet18(args.weights))):
                    models = {name: folder / f"{name}.blemish" for name in programs}
                    for name, (program, own) in programs.items():
                        program.fit(data, models[name], "--method", method, "--folds", "0", *size, *options, *own)
                    for threads in args.threads:
                        times = {name: [] for name in programs}
                        for _ in range(args.runs):
                            for name, (program, _) in programs.items():
                                times[name].append(an_image(program, models[name], images, threads))
                        medians = {name: statistics.median(times[name]) for name in programs}
                        values = [f"{value:.1f}" for value in medians.values()]
                        values += [f"{value / medians['bytes']:.2f}" for name, value in medians.items() if name != "bytes"]
                        print(f"| {method} | {backbone} | {side} | {threads} | " + " | ".join(values) + " |", flush=True)
                        where = "the default for 512 x 512 pixels" if side == "default" else f"{side} x {side} pixels"
                        where += "" if threads == 1 else f", {threads} threads"
                        for metric, value in zip(columns, values):
                            rows.add(set=where, method=method, variant=backbone, seeds=args.runs, metric=metric, value=value)


def an_image(program, model, images, threads=1):
    wall = {count: program.predict(model, *images[:count], "--threads", threads)[1].wall for count in (MANY, FEW)}
    return 1000 * (wall[MANY] - wall[FEW]) / (MANY - FEW)


PEER = Path(__file__).resolve().parent / "anomalib" / "peer.py"
# What anomalib's models are set to in peer.py.
PEER_SETTINGS = {
    "padim": ["--set", "dimensions=100"],
    "fastflow": ["--set", "blocks=8", "--set", "steps=2"],
}


def peers(args):
    rows = Rows("precision-peers")
    print("| method | whose | ms an image |\n|---|---|---:|")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        args.program.synth(folder / "set", "--look", "metal", "--train", MANY, "--test-good", 1, "--test-per-defect", 1, "--size", f"{SIDE}x{SIDE}")
        images = sorted((folder / "set" / "train" / "good").iterdir())
        listed = folder / "images.json"
        listed.write_text(json.dumps([str(image) for image in images]))
        for method in args.methods:
            settings = PEER_SETTINGS[method]
            models = {f"Blemish, {name}": folder / f"{precision}.blemish" for precision, name in PRECISIONS.items()}
            for precision, model in zip(PRECISIONS, models.values()):
                options = ["--size", f"{SIDE}x{SIDE}", "--folds", "0", "--precision", precision, *resnet18(args.weights, "layer1,layer2,layer3")]
                args.program.fit(folder / "set", model, "--method", method, *options, *settings)
            exported = run(args.python, PEER, "openvino", method, folder / "set", args.weights / STATE_DICT, folder / method).lines()[-1]["model"]
            times = {}
            for _ in range(args.runs):
                for name, model in models.items():
                    times.setdefault(name, []).append(an_image(args.program, model, images))
                for hint in ("f32", "bf16"):
                    found = run(args.python, PEER, "run", exported, listed, hint).lines()[-1]
                    times.setdefault(f"anomalib, OpenVINO {hint}", []).append(1000 * found["wall"])
            for name, found in times.items():
                print(f"| {method} | {name} | {statistics.median(found):.1f} |", flush=True)
                rows.add(set=f"{SIDE} x {SIDE} pixels", method=method, variant=name, metric="predict an image, ms", value=f"{statistics.median(found):.1f}", seeds=args.runs)


SIDE = 256
VIT = "vit_small_patch14_dinov2"
NETWORKS = {"resnet18": "ResNet-18", "efficientnet_lite0": "EfficientNet-Lite0", "efficientnet_lite2": "EfficientNet-Lite2", VIT: "ViT-S/14"}
ENGINES = ["Blemish", "Blemish, bytes", "ONNX Runtime", "ONNX Runtime, INT8", "OpenVINO, single", "OpenVINO, its default", "OpenVINO, INT8"]


def engines(args):
    rows = Rows("precision-engines")
    print(f"| network | batch | {' | '.join(ENGINES)} |\n|---|---:|{'---:|' * len(ENGINES)}")
    with tempfile.TemporaryDirectory() as folder:
        for network in args.networks:
            title = NETWORKS[network]
            for batch in args.batches:
                peers = peer_runs(network, batch, Path(folder))
                times = {name: [] for name in ENGINES}
                for _ in range(args.rounds):
                    for name, precision in (("Blemish", "single"), ("Blemish, bytes", "int8")):
                        times[name] += ours(args, network, precision, batch)
                    for name, once in peers.items():
                        times[name] += [timed(once) for _ in range(args.runs + 1)][1:]
                # The lower quartile, the same for all: other work on a machine makes runs longer, never shorter.
                shown = {name: f"{statistics.quantiles(found)[0] / batch:.1f}" for name, found in times.items() if found}
                print(f"| {title} | {batch} | {' | '.join(shown.get(name, '') for name in ENGINES)} |", flush=True)
                for name, value in shown.items():
                    rows.add(set=f"batch {batch}", method=title, metric=f"{name}, ms", value=value, seeds=args.rounds)


def ours(args, network, precision, batch):
    said = run(args.program.path, network, side_of(network), args.runs, precision, batch)
    return [float(line) for line in said.out.split()]


def side_of(network):
    """Of whole patches."""
    return 252 if network == VIT else SIDE


def timed(once):
    before = time.process_time()
    once()
    return 1000 * (time.process_time() - before)


def peer_runs(network, batch, folder):
    """What runs one batch, an engine and a precision each."""
    import numpy as np
    import onnxruntime
    import openvino
    import timm
    import torch
    import torchvision
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    if network == "resnet18":
        whole = torchvision.models.resnet18()
        model = torch.nn.Sequential(*list(whole.children())[:7])
    elif network == VIT:
        model = timm.create_model(VIT, img_size=side_of(VIT), num_classes=0)
        model.forward = model.forward_features
    else:
        model = timm.create_model(f"tf_{network}", features_only=True, out_indices=(3,))
    images = np.random.default_rng(0).random((batch, 3, side_of(network), side_of(network)), np.float32)
    single, quantised = folder / f"{network}-{batch}.onnx", folder / f"{network}-{batch}-int8.onnx"
    with torch.no_grad():
        torch.onnx.export(model.eval(), (torch.from_numpy(images),), single, input_names=["image"], output_names=["map"], dynamo=False)

    class Reader(CalibrationDataReader):
        left = 2

        def get_next(self):
            self.left -= 1
            return {"image": images} if self.left >= 0 else None

    quantize_static(single, quantised, Reader(), per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    runs = {}
    for name, path in (("ONNX Runtime", single), ("ONNX Runtime, INT8", quantised)):
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        runs[name] = lambda session=session: session.run(None, {"image": images})
    core = openvino.Core()
    hints = {"OpenVINO, single": (single, {"INFERENCE_PRECISION_HINT": "f32"}), "OpenVINO, its default": (single, {}), "OpenVINO, INT8": (quantised, {})}
    for name, (path, hint) in hints.items():
        compiled = core.compile_model(str(path), "CPU", {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, **hint})
        runs[name] = lambda compiled=compiled: compiled({"image": images})
    return runs


if __name__ == "__main__":
    main()
