"""Runs exported graphs as others would: onnx.checker, ONNX Runtime, OpenVINO, anomalib's inferencer, Intel's Model API.

    python exports.py GRAPH.onnx SELFTEST_FOLDER

Each part runs where its package is there and says where it is not. Ends with 1 if anything is off. Tried with onnx 1.23.2, ONNX Runtime
1.32.0, OpenVINO 2026.4.1, anomalib 2.7.0, openvino-model-api 0.4.7, NumPy 2.4 and Pillow 13.0.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

# Only operators of the default domain that every engine has; no Resize, no control flow.
ALLOWED = set(
    "Abs Add ArgMax Atan AveragePool BatchNormalization Cast Ceil Clip Concat Conv ConvTranspose Div Erf Exp Expand Floor Gather "
    "GatherElements GlobalAveragePool Greater GreaterOrEqual Identity LayerNormalization LeakyRelu Less Log MatMul Max MaxPool Min Mul Pad "
    "Pow Range ReduceMax ReduceMean ReduceMin ReduceSum Relu Reshape Shape Sigmoid Slice Softmax Softplus Sqrt Squeeze Sub Tanh TopK "
    "Transpose Unsqueeze Where".split()
)
failures = []


def expect(is_right, what):
    if not is_right:
        failures.append(what)
        print("WRONG:", what)


def package(name):
    try:
        return __import__(name)
    except ImportError:
        print(f"skipped: this Python has no {name}")
        return None


class Case:
    """A graph, its texts and the pictures with their scores."""

    def __init__(self, graph, folder):
        self.graph = graph
        self.test = json.loads((folder / "selftest.json").read_text())
        self.pictures = [np.asarray(Image.open(folder / one["file"]).convert("RGB")) for one in self.test["images"]]
        self.known = self.test["images"]
        self.allowed = self.test["allowed_difference"]

    def feed(self, picture, layout):
        if self.test["input"] == "tensor" or layout == "anomalib":
            return picture.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
        return picture[None]


def check_file(case):
    onnx = package("onnx")
    if not onnx:
        return {}
    model = onnx.load(case.graph)
    onnx.checker.check_model(str(case.graph), full_check=True)
    onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    used = {node.op_type for node in model.graph.node}
    expect(used <= ALLOWED, f"operators beyond the promised ones: {sorted(used - ALLOWED)}")
    expect(all(node.domain == "" for node in model.graph.node), "an operator of another domain")
    return {entry.key: entry.value for entry in model.metadata_props}


def compare(case, name, run, layout, texts, allowed=None):
    """`run` takes a batch and gives outputs by name. The largest difference of a score."""
    allowed = allowed or case.allowed
    largest = 0.0
    for known, picture in zip(case.known, case.pictures):
        given = run(case.feed(picture, layout))
        if layout == "anomalib":
            scale, threshold = float(texts["blemish.score_scale"]), float(texts["blemish.threshold"])
            normal = np.clip((known["score"] - threshold) / scale + 0.5, 0, 1)
            score, own = given["pred_score"].item() * scale, normal * scale
            if abs(known["score"] - threshold) > allowed:
                expect(bool(given["pred_label"].item()) == known["anomalous"], f"{name}: label of {known['file']}")
        else:
            score, own = given["score"].item(), known["score"]
            # On either side of one of these scores the answer is another, and a score may be off by what is allowed.
            steps = [float(texts["blemish.threshold"])] if "blemish.threshold" in texts else []
            steps += (json.loads(texts.get("blemish.calibration", "null")) or {}).get("image_scores", [])
            is_between = all(abs(known["score"] - step) > allowed for step in steps)
            if known["p_value"] is not None and is_between:
                expect(abs(given["p_value"].item() - known["p_value"]) < 1e-6, f"{name}: p-value of {known['file']}")
            if known["anomalous"] is not None and is_between:
                expect(bool(given["anomalous"].item()) == known["anomalous"], f"{name}: decision on {known['file']}")
            highest = float(given["map"].max())
            expect(abs(highest - known["map_maximum"]) <= max(allowed, 1e-4 * abs(highest)), f"{name}: map of {known['file']}")
        largest = max(largest, abs(score - own))
    expect(largest <= allowed, f"{name}: a score is off by {largest:.2e}, allowed {allowed:.2e}")
    return largest


def compare_batches(case, name, run, layout):
    """Batches of 1, 2, 3 and 7 give what single images give."""
    if layout == "anomalib":
        return
    fed = [case.feed(picture, layout) for picture in case.pictures]
    fed = [one for one in fed if one.shape == fed[-1].shape]
    single = [run(one) for one in fed]
    for size in (1, 2, 3, 7):
        given = run(np.concatenate([fed[at % len(fed)] for at in range(size)]))
        for at in range(size):
            own = single[at % len(fed)]
            apart = abs(float(given["score"][at]) - own["score"].item())
            expect(apart <= case.allowed, f"{name}: image {at} of a batch of {size} is off by {apart:.2e}")
            map_apart = np.abs(given["map"][at] - own["map"][0]).max() / np.abs(own["map"]).max()
            expect(map_apart <= 1e-4, f"{name}: map {at} of a batch of {size} is off by {map_apart:.2e}")


def in_onnx_runtime(case, texts, layout):
    runtime = package("onnxruntime")
    if not runtime:
        return
    runtime.set_default_logger_severity(3)
    session = runtime.InferenceSession(str(case.graph), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(image, **further):
        return dict(zip(names, session.run(names, {"image": image, **further})))

    largest = compare(case, "ONNX Runtime", run, layout, texts)
    compare_batches(case, "ONNX Runtime", run, layout)
    print(f"ONNX Runtime {runtime.__version__}: scores off by {largest:.1e} at most (allowed {case.allowed:.1e})")
    if "anomalous" in names:
        image = case.feed(case.pictures[-1], layout)
        own = run(image)
        for limit, decision in ((np.inf, False), (-np.inf, True)):
            other = run(image, threshold=np.array([limit], np.float32))
            expect(bool(other["anomalous"].item()) == decision, "another threshold changes no decision")
            expect(other["score"].item() == own["score"].item(), "another threshold changes a score")
    if case.test["input"] == "any" and layout != "anomalib":
        try:
            short = run(np.zeros((1, 1, 4000, 3), np.uint8))["score"].item()
            expect(not np.isfinite(short), "a picture of 4000x1 was scored")
        except runtime.capi.onnxruntime_pybind11_state.InvalidArgument:
            pass


def in_openvino(case, texts, layout):
    openvino = package("openvino")
    if not openvino:
        return
    core = openvino.Core()
    model = core.read_model(case.graph)
    for hint in ("f32", None):
        compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint} if hint else {})

        def run(image):
            found = compiled({"image": image})
            # anomalib's inferencer takes any of an output's names.
            is_single = all(len(output.names) == 1 for output in found)
            expect(is_single or layout != "anomalib", "an output has several names in OpenVINO")
            return {name: np.asarray(value) for output, value in found.items() for name in output.names}

        if hint:
            largest = compare(case, "OpenVINO f32", run, layout, texts)
            compare_batches(case, "OpenVINO f32", run, layout)
            print(f"OpenVINO f32 {openvino.__version__}: scores off by {largest:.1e} at most")
            continue
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        scores = [run(case.feed(picture, layout)) for picture in case.pictures]
        name = "pred_score" if layout == "anomalib" else "score"
        if name == "score":
            off = max(abs(one["score"].item() - known["score"]) for one, known in zip(scores, case.known))
            print(f"OpenVINO by default ({precision}): scores off by {off:.1e}")
            if precision == "bf16":
                expect(not off <= case.allowed, "the self-test does not find that OpenVINO computes in bfloat16")


def in_anomalib(case, texts, layout):
    if layout != "anomalib":
        return
    try:
        from anomalib.deploy import OpenVINOInferencer
    except ImportError:
        print("skipped: this Python has no anomalib")
    else:
        inferencer = OpenVINOInferencer(case.graph, device="CPU", config={"INFERENCE_PRECISION_HINT": "f32"})

        def run(image):
            found = inferencer.predict(image)
            names = ("pred_score", "pred_label", "anomaly_map", "pred_mask")
            return {name: np.asarray(getattr(found, name)) for name in names}

        print(f"anomalib's inferencer: scores off by {compare(case, 'anomalib', run, layout, texts):.1e} at most")
    try:
        from model_api.adapters import OpenvinoAdapter, create_core
        from model_api.models import AnomalyDetection
    except ImportError:
        print("skipped: this Python has no openvino-model-api")
        return
    # It takes no anomaly models through ONNX Runtime.
    adapter = OpenvinoAdapter(create_core(), str(case.graph), device="CPU", plugin_config={"INFERENCE_PRECISION_HINT": "f32"})
    model = AnomalyDetection(adapter, preload=True)
    scale, threshold = float(texts["blemish.score_scale"]), float(texts["blemish.threshold"])
    for known, picture in zip(case.known, case.pictures):
        # RGB: the graph says that channels are not to be reversed.
        found = model(picture)
        normal = np.clip((known["score"] - threshold) / scale + 0.5, 0, 1)
        expect(abs(found.pred_score - normal) * scale <= case.allowed, f"Model API: score of {known['file']}: {found.pred_score} for {normal}")
        expect(found.anomaly_map.shape == picture.shape[:2], "Model API: size of the map")
        expect(found.pred_label == str(known["anomalous"]), f"Model API: label {found.pred_label}")
    print("Model API: scores and labels as documented")


def main():
    case = Case(Path(sys.argv[1]), Path(sys.argv[2]))
    texts = check_file(case)
    layout = texts.get("blemish.layout", "blemish")
    in_onnx_runtime(case, texts, layout)
    in_openvino(case, texts, layout)
    in_anomalib(case, texts, layout)
    print("failed" if failures else "all as promised")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
