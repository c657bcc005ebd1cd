"""What serving costs: images a second beside `predict`, added latency, memory over many requests, time to be ready, size of the program.

    python benches/serve/speed.py target/release/blemish [--seconds 10] [--requests 100000] [--runs 3] [--peer PYTHON WEIGHTS]

Needs `wrk` (Debian: wrk) and, for `--peer`, a Python with anomalib, openvino, fastapi and uvicorn, and the file
`../shared/weights/resnet18.safetensors` or another of a ResNet-18: anomalib's OpenVINOInferencer behind uvicorn scores the same images through the
same weights. Loads come from this machine alone and end by themselves. The rest is Python's standard library.
"""

import argparse
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))
from blemish import Program, Rows
from server import Server, free_port

LOAD = """
local bodies, at = {}, 0
for path in io.open(os.getenv("BODIES")):lines() do
  local file = io.open(path, "rb")
  table.insert(bodies, file:read("*a"))
  file:close()
end
wrk.method = "POST"
request = function()
  at = at % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[at])
end
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format('{"requests":%d,"seconds":%f,"p50":%f,"p99":%f,"errors":%d}\\n', summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


class Loaded(Server):
    """A server that wrk puts under load."""

    def load(self, path, images, folder, seconds, connections=8):
        """What wrk saw: requests, seconds, p50 and p99 in milliseconds, errors; and the server's own CPU seconds, `cpu`."""
        script, bodies = folder / "load.lua", folder / "bodies.txt"
        script.write_text(LOAD)
        bodies.write_text("".join(f"{image}\n" for image in images))
        words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", script, f"http://127.0.0.1:{self.port}{path}"]
        before = self.cpu_seconds()
        done = subprocess.run([str(word) for word in words], env={**os.environ, "BODIES": str(bodies)}, capture_output=True, text=True, check=True)
        seen = next(json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
        return {**seen, "cpu": self.cpu_seconds() - before}


def predict_rate(program, model, images, repeats=4):
    """Images a second of `predict` without its start, and CPU milliseconds an image: the difference of many images and few."""
    links = Path(tempfile.mkdtemp())
    try:
        for number in range(repeats * len(images)):
            os.symlink(images[number % len(images)], links / f"{number:06}.png")
        few = program.predict(model, *list(links.iterdir())[:8])[1]
        many = program.predict(model, links)[1]
        count = repeats * len(images) - 8
        return count / (many.wall - few.wall), 1000 * (many.cpu - few.cpu) / count
    finally:
        shutil.rmtree(links)


def added_latency(server, path, images, rate, seconds):
    """p50 and p99 of what a request takes beyond decoding and scoring, in ms, at `rate` requests a second."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    bodies = [image.read_bytes() for image in images]
    added, start = [], time.perf_counter()
    for number in range(int(rate * seconds)):
        time.sleep(max(0.0, start + number / rate - time.perf_counter()))
        sent = time.perf_counter()
        connection.request("POST", path, bodies[number % len(bodies)])
        verdict = json.loads(connection.getresponse().read())
        took = 1000 * (time.perf_counter() - sent)
        added.append(took - verdict["milliseconds"]["decode"] - verdict["milliseconds"]["score"])
    return statistics.median(added), statistics.quantiles(added, n=100)[98]


def median(values):
    return statistics.median(list(values))


def main(args, folder):
    program, rows = Program(args.program), Rows("serve")
    tell = lambda metric, value, **more: (print(f"  {metric}: {value} {more.get('note', '')}", flush=True), rows.add(metric=metric, value=value, **more))
    parts = folder / "parts"
    program.synth(parts, "--look", "fabric", "--train", 40, "--test-good", 30, "--test-per-defect", 6, "--size", "256x256", "--seed", 5)
    images = sorted((parts / "test").rglob("*.png"))
    print(f"program {Path(args.program).stat().st_size / 1e6:.1f} MB")
    rows.add(metric="program, MB", value=f"{Path(args.program).stat().st_size / 1e6:.1f}")
    if args.peer:
        peer(args, program, folder, parts, images, tell)
    for method in ("patchcore", "statistical"):
        model = folder / f"{method}.blemish"
        program.fit(parts, model, "--method", method, "--folds", 2)
        print(method)
        port = free_port()
        command = [args.program, "serve", f"line={model}", "--listen", f"127.0.0.1:{port}"]
        with Loaded(command, port) as server:
            tell("start to ready, s", f"{server.seconds_to_ready:.2f}", method=method)
            server.load("/v1/models/line/score", images, folder, 2)
            pairs = []
            for _ in range(args.runs):
                predicted, cpu = predict_rate(program, model, images)
                served = server.load("/v1/models/line/score", images, folder, args.seconds)
                assert not served["errors"], served
                pairs.append((served["requests"] / served["seconds"], predicted, 1000 * served["cpu"] / served["requests"], cpu))
            ratio = median(a / b for a, b, *_ in pairs)
            tell("serve over predict, images/s", f"{ratio:.2f}", method=method, note=f"{median(a for a, *_ in pairs):.1f} and {median(b for _, b, *_ in pairs):.1f} images/s")
            # Without wrk, which takes its share of the same cores.
            costs = f"{median(c for *_, c, _ in pairs):.2f} and {median(d for *_, d in pairs):.2f} CPU ms"
            tell("predict over serve, CPU an image", f"{median(d / c for *_, c, d in pairs):.2f}", method=method, note=costs)
            half = median(a for a, *_ in pairs) / 2
            p50, p99 = added_latency(server, "/v1/models/line/score", images, half, args.seconds)
            tell("added latency at half load, ms", f"{p50:.2f}", method=method, note=f"p50; p99 {p99:.2f}")
        if method == "statistical":
            small = folder / "small.png"
            shrink(program, folder, small)
            with Loaded(command, port) as server:
                rate = server.load("/v1/models/line/score", [small], folder, 2)
                before = server.memory_mib()
                seconds = int(args.requests / (rate["requests"] / rate["seconds"])) + 1
                done = server.load("/v1/models/line/score", [small], folder, seconds)
                tell("memory after many requests, MiB", f"{server.memory_mib():.1f}", method=method, note=f"after {done['requests'] + rate['requests']}; {before:.1f} after {rate['requests']}")


def shrink(program, folder, path):
    """A small image, so that many can be scored."""
    program.synth(folder / "small", "--look", "fabric", "--train", 1, "--test-good", 1, "--test-per-defect", 1, "--size", "64x64", "--seed", 5)
    shutil.copy(next((folder / "small").rglob("test/good/*.png")), path)


def peer(args, program, folder, parts, images, tell):
    """PaDiM through ResNet-18, both sides: anomalib's behind uvicorn, ours behind `serve`."""
    python, weights = args.peer
    script = Path(__file__).parent / "uvicorn_peer.py"
    export = folder / "export"
    subprocess.run([python, script, "export", parts, weights, export], check=True)
    model = folder / "padim.blemish"
    program.fit(parts, model, "--method", "padim", "--backbone", "resnet18", "--weights", weights, "--size", "256x256", "--folds", 0)
    pairs = []
    ports = [free_port(), free_port()]
    ours = [args.program, "serve", f"line={model}", "--listen", f"127.0.0.1:{ports[0]}"]
    theirs = [python, script, "serve", export, ports[1]]
    with Loaded(ours, ports[0]) as our, Loaded(theirs, ports[1], "/ready") as their:
        for server, path in ((our, "/v1/models/line/score"), (their, "/score")):
            server.load(path, images, folder, 2)
        for _ in range(args.runs):
            one = our.load("/v1/models/line/score", images, folder, args.seconds)
            other = their.load("/score", images, folder, args.seconds)
            assert not one["errors"] and not other["errors"], (one, other)
            pairs.append((one["requests"] / one["seconds"], other["requests"] / other["seconds"], one["p50"], other["p50"]))
        note = f"{median(a for a, *_ in pairs):.1f} and {median(b for _, b, *_ in pairs):.1f} images/s, p50 {median(c for *_, c, _ in pairs):.0f} and {median(d for *_, d in pairs):.0f} ms"
        tell("serve over uvicorn, images/s", f"{median(a / b for a, b, *_ in pairs):.2f}", method="padim", peer="anomalib 2.7 OpenVINOInferencer, uvicorn", note=note)
        memory = f"{our.memory_mib():.0f} and {their.memory_mib():.0f} MiB"
        ready = f"{our.seconds_to_ready:.2f} and {their.seconds_to_ready:.2f} s"
        tell("start to ready, uvicorn over serve", f"{their.seconds_to_ready / our.seconds_to_ready:.0f}", method="padim", peer="anomalib 2.7 OpenVINOInferencer, uvicorn", note=ready)
        tell("memory, uvicorn over serve", f"{their.memory_mib() / our.memory_mib():.1f}", method="padim", peer="anomalib 2.7 OpenVINOInferencer, uvicorn", note=memory)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peer", nargs=2, metavar=("PYTHON", "WEIGHTS"))
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("skipped: no wrk on this machine")
    with tempfile.TemporaryDirectory() as temporary:
        main(arguments, Path(temporary))
