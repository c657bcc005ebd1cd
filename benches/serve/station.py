"""What the station costs: a verdict with and without it, a watched folder beside `predict`, pages, from dropped images to a live model.

    python benches/serve/station.py target/release/blemish [--images 1000] [--runs 5]

Python's standard library alone; loads come from this machine and end by themselves.
"""

import argparse
import gzip
import http.client
import json
import re
import statistics
import sys
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))
from blemish import Program, Rows
from server import Server, free_port


def served(args, *words, port=None):
    port = port or free_port()
    return Server([args.program, "serve", "--listen", f"127.0.0.1:{port}", *words], port)


def latencies(server, bodies, count):
    """Milliseconds of posted images, one after another."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    took = []
    for number in range(count):
        started = time.perf_counter()
        connection.request("POST", "/v1/models/line/score", bodies[number % len(bodies)])
        assert connection.getresponse().read()
        took.append(1000 * (time.perf_counter() - started))
    return took


def with_and_without(args, folder, model, images, tell):
    """Blocks of requests to a server with a station and to one without, in turns."""
    bodies = [image.read_bytes() for image in images]
    with served(args, f"line={model}") as plain, served(args, f"line={model}", "--station", folder / "latency") as recorded:
        for server in (plain, recorded):
            latencies(server, bodies, 20)
        pairs = [(latencies(plain, bodies, 40), latencies(recorded, bodies, 40)) for _ in range(4 * args.runs)]
    ratio = statistics.median(statistics.median(b) / statistics.median(a) for a, b in pairs)
    medians = [statistics.median(value for pair in pairs for value in pair[side]) for side in (0, 1)]
    tell("verdict with a station over without", f"{ratio:.3f}", note=f"p50 {medians[1]:.2f} and {medians[0]:.2f} ms")


def images_so_far(server):
    text = server.get("/metrics")[1].decode()
    return sum(float(value) for value in re.findall(r"^blemish_images_total\{.*\} (\S+)$", text, re.M))


def watched(args, program, folder, model, images, tell):
    """A folder of images that a source takes, beside `predict` of the same folder."""
    ratios, rates = [], []
    for run in range(max(1, args.runs // 2)):
        drop, station = folder / f"drop-{run}", folder / f"watched-{run}"
        drop.mkdir(), station.mkdir()
        for number in range(args.images):
            # Other bytes each, as cameras write them: a comment of its own behind the end of the picture.
            (drop / f"{number:05}.png").write_bytes(images[number % len(images)].read_bytes() + str(number).encode())
        few = program.predict(model, *sorted(drop.iterdir())[:8])[1]
        many = program.predict(model, drop)[1]
        predicted = (args.images - 8) / (many.wall - few.wall)
        (station / "sources.toml").write_text(f'[[source]]\nname = "drop"\nmodel = "line"\nfolder = "{drop}"\n')
        with served(args, f"line={model}", "--station", station) as server:
            first = last = None
            while True:
                now, seen = time.perf_counter(), images_so_far(server)
                if seen and not first:
                    first = (now, seen)
                if seen >= args.images:
                    last = (now, seen)
                    break
                time.sleep(0.05)
        rates.append(((last[1] - first[1]) / (last[0] - first[0]), predicted))
        ratios.append(rates[-1][0] / predicted)
    ours, theirs = (statistics.median(pair[side] for pair in rates) for side in (0, 1))
    tell("watched folder over predict, images/s", f"{statistics.median(ratios):.2f}", note=f"{args.images} images, {ours:.1f} and {theirs:.1f} images/s")


def first_page(args, folder, tell):
    """What a browser loads for the first page: the page, what it names, and what those name; compressed as the server sends it."""
    with served(args, "--station", folder / "page") as server:
        times, known = [], {}
        for _ in range(args.runs):
            known, waiting = {}, ["/"]
            started = time.perf_counter()
            while waiting:
                path = waiting.pop()
                request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers={"Accept-Encoding": "gzip"})
                with urllib.request.urlopen(request) as answer:
                    body = answer.read()
                    text = (gzip.decompress(body) if answer.headers.get("Content-Encoding") == "gzip" else body).decode()
                known[path] = len(body)
                named = re.findall(r'(?:src|href)="(/assets/[^"]+)"', text) + [f"/assets/{name}" for name in re.findall(r'from "\./([^"]+)"', text)]
                waiting += [name for name in dict.fromkeys(named) if name not in known and name not in waiting]
            times.append(1000 * (time.perf_counter() - started))
        tell("first page, kB", f"{sum(known.values()) / 1000:.1f}", note=f"{len(known)} files, {statistics.median(times):.0f} ms one after another")


def from_images_to_live(args, folder, good, tell):
    """30 images sent, fitted, live, the first verdict; from the start of a program that has nothing."""
    started = time.perf_counter()
    with served(args, "--station", folder / "fresh") as server:
        boundary = uuid.uuid4().hex
        parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{path.name}"\r\n\r\n'.encode() + path.read_bytes() + b"\r\n" for path in good]
        body = b"".join(parts) + f"--{boundary}--\r\n".encode()
        address = f"http://127.0.0.1:{server.port}"

        def post(path, data, kind="application/json"):
            request = urllib.request.Request(address + path, data=data, headers={"Content-Type": kind, "Origin": address})
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)

        dropped = time.perf_counter()
        name = post("/v1/station/uploads", body, f"multipart/form-data; boundary={boundary}")["set"]
        job = post("/v1/station/jobs", json.dumps({"kind": "fit", "model": "line", "set": name, "live": True}).encode())
        while (state := json.loads(server.get(f"/v1/station/jobs/{job['id']}")[1]))["state"] not in ("done", "failed"):
            time.sleep(0.02)
        assert state["state"] == "done", state
        live = time.perf_counter()
        post("/v1/models/line/score", good[0].read_bytes(), "image/png")
        ended = time.perf_counter()
    tell("from 30 images to a live model, s", f"{live - dropped:.1f}", note=f"from nothing to the first verdict {ended - started:.1f} s")


def main(args, folder):
    program, rows = Program(args.program), Rows("station")
    tell = lambda metric, value, note="": (print(f"{metric}: {value} ({note})", flush=True), rows.add(metric=metric, value=value, note=note))
    parts = folder / "parts"
    program.synth(parts, "--look", "fabric", "--train", 30, "--test-good", 20, "--test-per-defect", 4, "--size", "256x256", "--seed", 5)
    images, good = sorted((parts / "test").rglob("*.png")), sorted((parts / "train").rglob("*.png"))
    model = folder / "line.blemish"
    program.fit(parts, model, "--folds", 2)
    first_page(args, folder, tell)
    from_images_to_live(args, folder, good, tell)
    with_and_without(args, folder, model, images, tell)
    watched(args, program, folder, model, images, tell)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    with tempfile.TemporaryDirectory() as temporary:
        main(parser.parse_args(), Path(temporary))
