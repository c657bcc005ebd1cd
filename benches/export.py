"""Exported graphs beside the models they came from, and anomalib's own exports beside its trained models.

    ORT_DYLIB_PATH=.../libonnxruntime.so python benches/export.py PROGRAM SET... [--methods patchcore ...] [--images 40] [--peer WEIGHTS]

Each method is fitted on each SET (MVTec AD layout) and exported as a tensor's and as any picture's graph. Images of the set's test folder, spread over
it, go through the graph of any picture by ONNX Runtime and OpenVINO (float32) on one thread; their scores are compared with those of the program, and
timed. With `--peer` PatchCore and PaDiM run on the ResNet-18 of WEIGHTS on both sides, and anomalib's Engine fits and exports on the same images: its
graph is compared with its own trained model. Differences are shares of the range that the scores of these images span. Rows lie in benches/runs, see
benches/blemish.py. Needs numpy, pillow, onnxruntime and openvino, and anomalib with onnx for the peer.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from blemish import Program, Rows, run

ROUNDS = 20
PEERS = ["patchcore", "padim"]


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("program")
    words.add_argument("sets", nargs="+")
    words.add_argument("--methods", nargs="+", default=["patchcore", "padim", "fapm", "cfa"])
    words.add_argument("--images", type=int, default=40)
    words.add_argument("--peer", metavar="WEIGHTS")
    asked = words.parse_args()
    program, rows = Program(asked.program), Rows("export")
    for data in map(Path, asked.sets):
        for method in asked.methods:
            with tempfile.TemporaryDirectory() as folder:
                images = copies(spread_over(sorted(data.glob("test/*/*.*")), asked.images), Path(folder))
                ours(program, rows, Path(folder), data, images, method, asked.peer)
                if asked.peer and method in PEERS:
                    theirs(rows, Path(folder), data, images, method, asked.peer)


def spread_over(images, count):
    return [images[at * len(images) // count] for at in range(min(count, len(images)))]


def copies(images, folder):
    """The images as PNG files, so that differences of JPEG decoders stay out of the comparison."""
    from PIL import Image

    found = [folder / f"{at:03}.png" for at in range(len(images))]
    for image, copy in zip(images, found):
        Image.open(image).convert("RGB").save(copy, compress_level=1)
    return found


def ours(program, rows, folder, data, images, method, weights):
    model, graph, proof = (folder / name for name in ("model.blemish", "any.onnx", "proof"))
    network = ["--backbone", "resnet18", "--weights", weights] if weights and method in PEERS else []
    program.fit(data, model, "--method", method, "--size", "256x256", *network)
    about = {"set": data.name, "method": method, "peer": ""}
    for kind in ("tensor", "any"):
        done = program.run("export", model, "-o", folder / f"{kind}.onnx", "--input", kind, "--selftest-images", proof, "--json")
        parity = done.json()["parity"]
        told(rows, about, "export, s", done.wall, variant=f"--input {kind}")
        told(rows, about, "largest difference of the proof", parity["largest_score_difference"], variant=f"--input {kind}", note=f"allowed {parity['allowed_score_difference']:.2e}; {parity['engine']}")
    told(rows, about, "graph, MB", graph.stat().st_size / 1e6)
    told(rows, about, "model file, MB", model.stat().st_size / 1e6)
    scores = {line["path"]: line["score"] for line in program.predict(model, *images)[0]}
    known = [scores[str(image)] for image in images]
    compare(rows, about, graph, [pixels(image)[None] for image in images], known, "score")
    # The program's start is taken off by the difference of two runs; it decodes the image files, which the graphs get as pixels.
    few, many = (program.predict(model, *some, "--threads", "1")[1] for some in (images[:4], images))
    told(rows, about, "ms an image, program with decoding", 1000 * (many.wall - few.wall) / (len(images) - 4), note="one thread")


def theirs(rows, folder, data, images, method, weights):
    import numpy as np

    peer = Path(__file__).parent / "anomalib" / "peer.py"
    listed = folder / "images.json"
    listed.write_text(json.dumps([str(image) for image in images]))
    answer = json.loads(run(sys.executable, peer, "graph", method, data, weights, folder, listed).out.splitlines()[-1])
    feed = [pixels(image).transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255) for image in images]
    compare(rows, {"set": data.name, "method": method, "peer": "anomalib"}, answer["graph"], feed, answer["scores"], "pred_score")


def pixels(path):
    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB"))


def compare(rows, about, graph, feed, known, output):
    span = max(known) - min(known)
    batch = batch_of(graph)
    feed = [image.repeat(batch, axis=0) for image in feed]
    for engine, score in engines(graph):
        try:
            found = [score(image)[output].ravel()[0].item() for image in feed]
        except Exception as error:  # What an engine refuses is a finding, too.
            print(f"{about['set']} {about['method']} {about['peer']}: {engine} does not run the graph: {str(error)[:300]}", flush=True)
            continue
        apart = max(abs(here - there) for here, there in zip(found, known))
        told(rows, about, f"score difference, % of range, {engine}", 100 * apart / span, note=f"{len(feed)} images")
        told(rows, about, f"ms an image, {engine}", milliseconds(lambda: score(feed[-1])) / batch, note="one thread" if batch == 1 else f"one thread; takes {batch} at once alone")


def batch_of(graph):
    """How many images a graph takes: anomalib 2.7's PatchCore takes two and no other number."""
    import onnxruntime

    shape = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"]).get_inputs()[0].shape
    return shape[0] if isinstance(shape[0], int) else 1


def engines(graph):
    """Functions from a fed image to the graph's outputs by name, with the engine's name."""
    import onnxruntime
    import openvino

    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    name, outputs = session.get_inputs()[0].name, [output.name for output in session.get_outputs()]
    yield "ONNX Runtime", lambda image: dict(zip(outputs, session.run(None, {name: image})))

    compiled = openvino.Core().compile_model(str(graph), "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})
    given = compiled.inputs[0].get_any_name()
    yield "OpenVINO f32", lambda image: {name: value for key, value in compiled({given: image}).items() for name in key.names}


def milliseconds(call):
    """The median of some calls, after two to warm up."""
    taken = []
    for at in range(ROUNDS + 2):
        start = time.perf_counter()
        call()
        if at > 1:
            taken.append(time.perf_counter() - start)
    return 1000 * sorted(taken)[len(taken) // 2]


def told(rows, about, metric, value, variant="", note=""):
    print(f"{about['set']:14} {about['method']:10} {about['peer']:9} {variant:15} {metric:44} {value:.4g}  {note}", flush=True)
    rows.add(**about, variant=variant, metric=metric, value=f"{value:.4g}", note=note)


if __name__ == "__main__":
    main()
