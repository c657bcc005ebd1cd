"""Exported graphs: largest differences, milliseconds an image, sizes, seconds of the export.

    ORT_DYLIB_PATH=.../libonnxruntime.so python benches/export.py target/release/blemish SET [METHOD ...]

Fits each method on SET (a folder with train/good), exports it as a tensor's and as any picture's graph, and runs the graph by ONNX Runtime and
OpenVINO (float32) on one thread, in one run, beside the program itself. Where this Python has anomalib, its own export of PatchCore and PaDiM is
timed as well (on random features of the same sizes: only the time counts). Rows lie in benches/runs, see benches/blemish.py. Needs numpy and pillow, and
onnxruntime, openvino or both.
"""

import importlib.util
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from blemish import Program, Rows  # noqa: E402

METHODS = ["patchcore", "padim", "fapm", "cfa"]
ROUNDS = 20


def milliseconds(call):
    """The median of some calls, after two to warm up."""
    taken = []
    for at in range(ROUNDS + 2):
        start = time.perf_counter()
        call()
        if at > 1:
            taken.append(time.perf_counter() - start)
    return 1000 * float(np.median(taken))


def engines(graph):
    """The graph's score of a fed image, by engine."""
    if importlib.util.find_spec("onnxruntime"):
        import onnxruntime

        onnxruntime.set_default_logger_severity(3)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        outputs = [output.name for output in session.get_outputs()]
        yield "ONNX Runtime", lambda image: dict(zip(outputs, session.run(None, {name: image})))
    if importlib.util.find_spec("openvino"):
        import openvino

        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
        compiled = openvino.Core().compile_model(str(graph), "CPU", settings)
        given = compiled.inputs[0].get_any_name()
        yield "OpenVINO f32", lambda image: {next(iter(key.names)): value for key, value in compiled({given: image}).items()}


def measure(program, rows, folder, data, method, kind):
    model, graph, proof = (folder / f"{method}{end}" for end in (".blemish", f"-{kind}.onnx", f"-{kind}"))
    if not model.exists():
        program.fit(data, model, "--method", method)
    run = program.run("export", model, "-o", graph, "--input", kind, "--selftest-images", proof, "--json")
    parity = run.json()["parity"]
    about = {"set": Path(data).name, "method": method, "variant": f"--input {kind}"}
    rows.add(**about, metric="export, s", value=run.wall)
    rows.add(**about, metric="graph, MB", value=graph.stat().st_size / 1e6)
    rows.add(**about, metric="model file, MB", value=model.stat().st_size / 1e6)
    rows.add(**about, metric="score difference", value=parity["largest_score_difference"], note=f"allowed {parity['allowed_score_difference']:.2e}; {parity['engine']}")
    rows.add(**about, metric="map difference, of the maximum", value=parity["largest_map_difference"], note=parity["engine"])
    test = json.loads((proof / "selftest.json").read_text())
    pictures = [np.asarray(Image.open(proof / one["file"]).convert("RGB")) for one in test["images"]]
    feed = [picture.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255) if kind == "tensor" else picture[None] for picture in pictures]
    for engine, score in engines(graph):
        off = max(abs(score(image)["score"].item() - known["score"]) for image, known in zip(feed, test["images"]))
        rows.add(**about, metric=f"score difference, {engine}", value=off)
        rows.add(**about, metric=f"ms an image, {engine}", value=milliseconds(lambda: score(feed[-1])), note="one thread")


def native(program, rows, folder, data, method):
    """What the program takes an image, by the difference of two runs over many and few copies of the test images."""
    images = sorted(Path(data).rglob("test/*/*.png"))[:24]
    model = folder / f"{method}.blemish"
    few = program.run("predict", model, *images[:4], "--threads", "1").wall
    many = program.run("predict", model, *images, "--threads", "1").wall
    value = 1000 * (many - few) / (len(images) - 4)
    rows.add(set=Path(data).name, method=method, variant="native", metric="ms an image, with reading", value=value, note="one thread")


def anomalib(rows, folder):
    try:
        import torch
        from anomalib.models.image.padim.torch_model import PadimModel
        from anomalib.models.image.patchcore.torch_model import PatchcoreModel
    except ImportError as error:
        print(f"skipped: anomalib's own export ({error})")
        return

    torch.manual_seed(0)
    patchcore = PatchcoreModel(layers=["layer2", "layer3"], backbone="resnet18", pre_trained=False).eval()
    patchcore.memory_bank = torch.rand(6144, 384)
    padim = PadimModel(layers=["layer1", "layer2", "layer3"], backbone="resnet18", pre_trained=False).eval()
    with torch.no_grad():
        padim.gaussian.mean = torch.rand(100, 4096)
        padim.gaussian.inv_covariance = torch.eye(100).repeat(4096, 1, 1)
    for method, model in (("patchcore", patchcore), ("padim", padim)):
        graph = folder / f"anomalib-{method}.onnx"
        try:
            torch.onnx.export(model, (torch.rand(1, 3, 256, 256),), str(graph), input_names=["input"], dynamo=False, opset_version=17)
        except Exception as error:  # What its export raises depends on its version.
            print(f"skipped: anomalib's {method} does not export here: {error}")
            continue
        image = np.random.default_rng(0).random((1, 3, 256, 256), np.float32)
        for engine, score in engines(graph):
            about = {"set": "random", "method": method, "variant": "resnet18, 256x256", "peer": "anomalib"}
            rows.add(**about, metric=f"ms an image, {engine}", value=milliseconds(lambda: score(image)), note="one thread, bank 6144 x 384")


def main():
    program, data, methods = Program(sys.argv[1]), sys.argv[2], sys.argv[3:] or METHODS
    rows = Rows("export")
    with tempfile.TemporaryDirectory() as folder:
        for method in methods:
            for kind in ("tensor", "any"):
                measure(program, rows, Path(folder), data, method, kind)
            native(program, rows, Path(folder), data, method)
        anomalib(rows, Path(folder))


if __name__ == "__main__":
    main()
