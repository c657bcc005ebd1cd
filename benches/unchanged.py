"""Proves that a change of the code moves no model and no score by a bit.

    python3 benches/unchanged.py record --program OLD/blemish --output old.json --models old-models
    python3 benches/unchanged.py record --program NEW/blemish --output new.json
    python3 benches/unchanged.py compare old.json new.json --allow exceptions.txt
    python3 benches/unchanged.py check-old --models old-models --program NEW/blemish

`record` makes small sets with `data synth`, fits every method with short settings, and the ways of looking at images (tiles, input sizes,
ensembles, a mask), of calibrating and of learning more (`update`, `merge`) with a few methods. It keeps, case by case, the SHA-256 of every
tensor of the model file, the model's header, and of every test image the score, the decision and the SHA-256 of the map, and the metrics.
With --models it also keeps the models, the images and the record, which `check-old` reads: an older file must load, verify and score alike.

`compare` prints a line a difference and ends with 1 if there is one. A line of --allow names differences that are meant, as three patterns
`CASE KIND NAME` (kinds: tensor, header, calibration, score, decision, map, metric, case) and the reason behind `#`.
"""

import argparse
import collections
import concurrent.futures
import csv
import fnmatch
import hashlib
import json
import os
import pathlib
import shutil
import struct
import sys
import tempfile
import time
import zlib

import blemish
from blemish import Failed

WEIGHTS = pathlib.Path(__file__).resolve().parents[2] / "shared/weights"
RESNET = "resnet18-layer1to3-bnfolded.safetensors"

SMALL = "--size 96x96"
MEDIUM = "--size 128x128"
TILES = "--tile 64x64 --tile-overlap 16"

# Settings with which each method fits in about a second. Several lines of one method are its variants.
METHODS = {
    "patchcore": "patchcore",
    "patchcore-official": "patchcore variant=official",
    "patchcore-plain": "patchcore neighbours=3 projection_dimension=0 image_score=max interpolation=bilinear coreset_max=100",
    "padim": "padim",
    "padim-official": "padim variant=official precision=single",
    "padim-updatable": "padim updatable=true",
    "fapm": "fapm",
    "fapm-released": "fapm correspondence=released weighting=official margin=0 regions=3",
    "fapm-uniform": "fapm sizing=uniform",
    "pni": "pni coreset_ratio=0.1 distribution_size=32 width=16 epochs=4 positions=512 batch=64",
    "pni-refined": "pni neighbourhood=false coreset_ratio=0.1 distribution_size=32 refinement=true refine_side=64 refine_samples=10"
    " refine_steps=8 refine_batch=2",
    "statistical": "statistical",
    "statistical-pixel": "statistical bank=pixel",
    "statistical-texture": "statistical bank=histogram+glcm colour=rgb combine=mean distance=hellinger",
    "structural": "structural",
    "structural-aligned": "structural bank=template+lines+granulometry",
    "structural-patches": "structural bank=patches centres=256",
    "filter": "filter",
    "filter-image": "filter bank=spectral+phase+sobel",
    "filter-wavelets": "filter bank=wavelet+daubechies+wavelet_residual+canny model=gaussian",
    "filter-periodic": "filter bank=notch+whiten",
    "fastflow": "fastflow blocks=2 steps=12 batch=4 rate=0.003",
    "fastflow-fixed": "fastflow blocks=2 steps=8 batch=4 norm=fixed kernels=alternating clip=1",
    "cflow": "cflow blocks=2 condition=16 epochs=2 batch=4 rate=0.002",
    "cflow-index": "cflow blocks=1 condition=0 epochs=1 batch=4 mixing=index rates=constant",
    "csflow": "csflow blocks=1 hidden=8 side=128 steps=12 batch=4 rate=0.003",
    "csflow-max": "csflow blocks=1 hidden=8 side=128 steps=6 batch=4 score=max",
    "glow": "glow depth=2 width=16 steps=12 batch=4 rate=0.002",
    "glow-additive": "glow depth=1 width=16 steps=8 batch=4 coupling=additive score=typicality",
    "glow-image": "glow input=image depth=1 width=8 levels=2 steps=12 batch=4 rate=0.002",
    "glow-image-complexity": "glow input=image depth=1 width=8 levels=1 steps=6 batch=4 score=complexity draws=2",
    "differnet": "differnet blocks=2 width=64 scales=2 steps=10 batch=8 train_transforms=4 transforms=4 map_transforms=2",
    "differnet-none": "differnet blocks=1 width=32 scales=1 steps=6 batch=8 train_transforms=2 transforms=2 map=none rotation=10",
    "cfa": "cfa epochs=2 batch=4",
    "cfa-anomalib": "cfa variant=anomalib epochs=2 batch=4 bank_compression=4",
    "mspba": "mspba epochs=1 batch=4 repeats=4 rate=0.0003 combination=sum coreset_max=200",
    "mspba-normalised": "mspba epochs=1 batch=4 repeats=256 cluster_weight=1 clusters=8 coreset_max=200",
}

# The methods that meet the ways of looking at images, and those ways.
WIDE = {
    "patchcore": "patchcore",
    "padim": "padim",
    "fastflow": "fastflow blocks=2 steps=6 batch=4 rate=0.003",
    "glow-image": "glow input=image depth=1 width=8 levels=2 steps=6 batch=4 rate=0.002",
    "filter": "filter",
}
# Those that do not train, and so can be fitted often: to trim, and to rank the images of a fit.
UNTRAINED = ("patchcore", "padim", "filter")
WAYS = {
    "tiled": TILES,
    "tiled-each": f"--tile-models each {TILES}",
    "tiles-drawn": f"--tiles-per-image 2 {TILES}",
    "two-sizes": "--multi-scale 64,96",
    "tiled-two-sizes": f"--multi-scale 96,128 {TILES}",
    "roi": f"{SMALL} --roi ROI",
    "cropped": "--size 112x112 --crop 96x96",
    "trimmed": f"{SMALL} --trim 2",
    "uncalibrated": f"{SMALL} --folds 0",
    "three-folds": f"{SMALL} --folds 3 --false-alarm 0.1 --seed 7",
    "skip-bad": f"{SMALL} --skip-bad",
}

# What only some programs or methods can; each line is a whole `fit`.
SINGLE = {
    "patchcore-default-transform": "patchcore",
    "padim-default-transform": "padim",
    "patchcore-shorter-side": ("patchcore", "--size 80"),
    "patchcore-tight-memory": ("patchcore", f"{SMALL} --memory-limit 1MiB --batch-size 3"),
    "padim-tight-memory": ("padim", f"{SMALL} --memory-limit 1MiB --batch-size 3"),
    "patchcore-trimmed-tiled": ("patchcore", f"--trim 2 {TILES}"),
    "padim-rten": ("padim", f"{SMALL} --engine rten"),
    "padim-burn": ("padim", f"{SMALL} --engine burn"),
    "patchcore-layers": ("patchcore", f"{SMALL} --layers stage2,blocks.3.1"),
    "padim-value-range": ("padim", f"{SMALL} --value-range 10,200"),
    "padim-resnet18": ("padim", f"{SMALL} --backbone resnet18 --weights {RESNET}"),
    "patchcore-ensemble": ("patchcore", f"{SMALL} --ensemble resnet18:{RESNET}"),
    "padim-ensemble": ("padim", f"{SMALL} --ensemble resnet18:{RESNET}"),
    "fastflow-ensemble": (WIDE["fastflow"], f"{SMALL} --ensemble resnet18:{RESNET} --folds 2"),
    "padim-ensemble-tiled": ("padim", f"{TILES} --ensemble resnet18:{RESNET}"),
}

# Methods whose models learn on: fits of each half of the images, joined.
LIVING = {
    "patchcore": "patchcore updatable=true shards=2",
    "padim": "padim updatable=true",
    "fapm": "fapm",
}

# Left out of a header: they say who wrote the file, or repeat what the tensors say.
UNCOMPARED = {"written_by", "checksum"}

# Differences of one case that are printed.
MOST = 20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    record = commands.add_parser("record", help="fit and score every case, and keep the hashes")
    record.add_argument("--output", type=pathlib.Path, required=True)
    record.add_argument("--models", type=pathlib.Path, help="folder to keep models, images and the record in")
    compare = commands.add_parser("compare", help="list what differs between two records")
    compare.add_argument("old", type=pathlib.Path)
    compare.add_argument("new", type=pathlib.Path)
    compare.add_argument("--allow", type=pathlib.Path, help="file of differences that are meant")
    check = commands.add_parser("check-old", help="load, verify and score models that another program wrote")
    check.add_argument("--models", type=pathlib.Path, required=True)
    for command in (record, check):
        command.add_argument("--program", type=lambda path: pathlib.Path(path).resolve(), required=True)
        command.add_argument("--weights", type=pathlib.Path, default=WEIGHTS, help="folder of weight files, for ensembles")
        command.add_argument("--threads", type=int, default=1, help="of each run of the program")
        command.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time")
        command.add_argument("--only", nargs="+", metavar="PATTERN", help="cases to run")
    args = parser.parse_args()
    sys.exit({"record": record_all, "compare": compare_records, "check-old": check_old}[args.command](args))


# Running the program


class Program:
    """The program under test, its sets and its models, all in one folder."""

    def __init__(self, path, folder, args):
        self.path, self.folder, self.args = path, folder, args
        (folder / "models").mkdir(parents=True, exist_ok=True)

    def run(self, *line):
        """Runs the program to its end in the folder and returns what it prints."""
        words = [self.path, *line, "--threads", self.args.threads, "--progress", "none"]
        return blemish.run(*words, cwd=self.folder, BLEMISH_WEIGHTS=str(self.folder / "no-weights")).out

    def make_sets(self):
        for look, size, train in (("print", "144x144", 12), ("fabric", "136x144", 12)):
            self.run(*f"data synth {look} --look {look} --size {size} --train {train}".split(),
                     *"--test-good 2 --test-per-defect 1 --seed 5".split())
        shutil.copytree(self.folder / "print", self.folder / "broken")
        good = sorted((self.folder / "broken/train/good").iterdir())
        good[3].write_bytes(good[3].read_bytes()[:300])
        for half in (0, 1):
            part = self.folder / f"half-{half}"
            part.mkdir()
            for image in sorted((self.folder / "print/train/good").iterdir())[half::2]:
                shutil.copy(image, part)
        write_grey_png(self.folder / "roi.png", 144, 144, lambda y, x: 0 if y < 40 and x < 60 else 255)

    def fit(self, name, method, options, data="print"):
        method, *settings = method.split()
        words = [word for setting in settings for word in ("--set", setting)]
        # A rate that so few images can promise, so that there are thresholds and regions.
        if "--false-alarm" not in options:
            words += ["--false-alarm", "0.3"]
        self.run("fit", data, "--method", method, *words, *options.split(), "-o", model(name))

    def scores(self, name, data):
        """Score, decision and map of every test image."""
        output = pathlib.Path("scores") / name
        self.run("predict", model(name), f"{data}/test", "-o", output, "--pictures", "map")
        scores, decisions, maps = {}, {}, {}
        for line in (self.folder / output / "scores.jsonl").read_text().splitlines():
            # Numbers stay the text that the program writes, which tells every bit of them.
            found = json.loads(line, parse_float=str)
            image = found.pop("path")
            maps[image] = digest(map_bytes(self.folder / found.pop("map")))
            scores[image] = found.pop("score")
            decisions[image] = found
        shutil.rmtree(self.folder / output)
        return {"score": scores, "decision": decisions, "map": maps}

    def suspects(self, method, data):
        """How suspicious each training image is, scored out of its fold."""
        output = pathlib.Path("suspects") / method
        self.run("data", "suspects", data, "--method", method, *SMALL.split(), "-o", output, "--show", 1)
        with open(self.folder / output / "suspects.csv", newline="") as file:
            return {row["path"]: row["score"] for row in csv.DictReader(file)}

    def metrics(self, name, data):
        found = json.loads(self.run("eval", model(name), data, "--json"), parse_float=str)
        del found["run"]
        return found


def model(name):
    return f"models/{name}.blemish"


def write_grey_png(path, height, width, value):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + bytes(value(y, x) for x in range(width)) for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


# Reading what the program writes


def digest(content):
    return hashlib.sha256(content).hexdigest()


def read_model(path):
    """The header of a model file, and shape, type and SHA-256 of its tensors (a safetensors file)."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    start = 8 + length
    entries = json.loads(content[8:start])
    header = json.loads(entries.pop("__metadata__")["blemish"], parse_float=str)
    tensors = {}
    for name, entry in entries.items():
        first, end = entry["data_offsets"]
        shape = "x".join(map(str, entry["shape"]))
        tensors[name] = f"{entry['dtype']} {shape} {digest(content[start + first:start + end])}"
    return header, tensors


def map_bytes(path):
    """The scores of an anomaly map: the strips of a float TIFF, behind the map's size."""
    content = path.read_bytes()
    order = {b"II": "<", b"MM": ">"}[content[:2]]
    (at,) = struct.unpack_from(order + "I", content, 4)
    (count,) = struct.unpack_from(order + "H", content, at)
    fields = {}
    for number in range(count):
        tag, kind, length = struct.unpack_from(order + "HHI", content, at + 2 + 12 * number)
        letter = {3: "H", 4: "I"}.get(kind)
        if letter is None:
            continue
        place = at + 2 + 12 * number + 8
        if length * struct.calcsize(letter) > 4:
            (place,) = struct.unpack_from(order + "I", content, place)
        fields[tag] = struct.unpack_from(f"{order}{length}{letter}", content, place)
    assert fields.get(259, (1,)) == (1,), f"{path}: a compressed map"
    strips = b"".join(content[first:first + size] for first, size in zip(fields[273], fields[279]))
    return struct.pack("<II", fields[257][0], fields[256][0]) + strips


# Recording


def plan(program, args):
    """The cases: a name, what makes the model, and the set that it is tried on."""

    def fit(name, method, options, data="print"):
        return name, lambda: program.fit(name, method, options, data), "print" if data == "broken" else data

    def living(name, method):
        def make():
            for half in (0, 1):
                program.fit(f"{name}-half-{half}", method, MEDIUM, f"half-{half}")
            parts = [model(f"{name}-half-{half}") for half in (0, 1)]
            program.run("merge", *parts, "-o", model(f"{name}-merged"))
            program.run("update", parts[0], "half-1", "-o", model(f"{name}-updated"))

        return [(f"{name}-half-0", make, "print"), (f"{name}-merged", None, "print"), (f"{name}-updated", None, "print")]

    def calibrated(name, method, *options):
        def make():
            program.fit(name, method, f"{SMALL} --folds 0")
            program.run("calibrate", model(name), *options)

        return name, make, "print"

    chains = [[fit(name, method, MEDIUM)] for name, method in METHODS.items()]
    chains += [[fit(f"{name}-fabric", METHODS[name], SMALL, "fabric")] for name in ("patchcore", "filter", "structural")]
    for name, method in WIDE.items():
        for way, options in WAYS.items():
            if way == "trimmed" and name not in UNTRAINED:
                continue
            options = options.replace("ROI", "roi.png")
            chains.append([fit(f"{name}-{way}", method, options, "broken" if way == "skip-bad" else "print")])
    for name, line in SINGLE.items():
        method, options = (line, "") if isinstance(line, str) else line
        if RESNET in options:
            if not (args.weights / RESNET).is_file():
                print(f"SKIPPED {name}: {args.weights} has no {RESNET}", file=sys.stderr)
                continue
            options = options.replace(RESNET, str((args.weights / RESNET).resolve()))
        chains.append([fit(name, method, options)])
    chains += [living(f"living-{name}", method) for name, method in LIVING.items()]
    chains.append([calibrated("calibrated-with-good", "padim", "--with-good", "print/test/good", "--false-alarm", "0.4")])
    chains.append([calibrated("calibrated-labelled", "patchcore", "--labelled", "print", "--by", "cost")])
    chains = [chain for chain in chains if any(wanted(name, args.only) for name, _, _ in chain)]
    rankings = {f"suspects-{method}": method for method in UNTRAINED if wanted(f"suspects-{method}", args.only)}
    return chains, rankings


def wanted(name, patterns):
    return not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def record_all(args):
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.models or pathlib.Path(scratch)
        if folder.exists() and args.models:
            shutil.rmtree(folder)
        program = Program(args.program, folder.resolve(), args)
        check_methods(program)
        program.make_sets()
        cases, failures = {}, []
        chains, rankings = plan(program, args)
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            for found, failed in pool.map(lambda chain: run_chain(program, chain), chains):
                cases.update(found)
                failures += failed
            ranked = pool.map(lambda method: program.suspects(method, "print"), rankings.values())
            cases.update({name: {"score": scores} for name, scores in zip(rankings, ranked)})
        text = json.dumps(cases, indent=1, sort_keys=True)
        args.output.write_text(text)
        if args.models:
            (folder / "record.json").write_text(text)
    for failure in failures:
        print(f"FAILED {failure}", file=sys.stderr)
    print(f"{len(cases)} cases in {time.monotonic() - started:.0f} s: {args.output}")
    return 1 if failures else 0


def check_methods(program):
    """Every method of the program needs a case, so that none is forgotten."""
    known = {line.split()[0] for line in METHODS.values()}
    missing = {entry["name"] for entry in json.loads(program.run("methods", "--json"))} - known
    if missing:
        raise SystemExit(f"no case fits {', '.join(sorted(missing))}: add a line to METHODS in {__file__}")


def run_chain(program, chain):
    found, failures = {}, []
    for name, make, data in chain:
        started = time.monotonic()
        try:
            if make:
                make()
            header, tensors = read_model(program.folder / model(name))
            calibration = header.pop("calibration", None)
            header = {key: value for key, value in header.items() if key not in UNCOMPARED}
            found[name] = {"header": header, "calibration": calibration or {}, "tensor": tensors, **program.scores(name, data)}
            found[name]["metric"] = program.metrics(name, data)
            found[name]["set"] = data
        except Failed as failure:
            failures.append(f"{name}: {failure}")
            break
        print(f"{time.monotonic() - started:6.1f} s {name}", file=sys.stderr)
    return found, failures


# Comparing


def compare_records(args):
    old, new = json.loads(args.old.read_text()), json.loads(args.new.read_text())
    differences = list(all_differences(old, new))
    exceptions = read_exceptions(args.allow)
    meant = report(differences, exceptions)
    for pattern in exceptions:
        if not pattern["used"]:
            print(f"unused exception: {' '.join(pattern['words'])}")
    left = len(differences) - meant
    print(f"{len(old)} cases before, {len(new)} after: {left} differences, {meant} more that are meant")
    return 1 if left else 0


def all_differences(old, new):
    """Case, kind, name and the two values of everything that differs."""
    for case in sorted({*old, *new}):
        if case not in old or case not in new:
            yield case, "case", "-", "there" if case in old else "absent", "there" if case in new else "absent"
            continue
        for kind in sorted({*old[case], *new[case]}):
            before, after = flat(old[case].get(kind)), flat(new[case].get(kind))
            for name in sorted({*before, *after}):
                if before.get(name, "absent") != after.get(name, "absent"):
                    yield case, kind, name, before.get(name, "absent"), after.get(name, "absent")


def flat(value, name=""):
    """Nested values as one level of names joined by dots; lists of plain values stay whole."""
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        pairs = enumerate(value)
    else:
        return {name or "-": value}
    return {key: leaf for part, inner in pairs for key, leaf in flat(inner, f"{name}.{part}" if name else str(part)).items()}


def read_exceptions(path):
    lines = path.read_text().splitlines() if path else []
    patterns = [line.split("#")[0].split() for line in lines]
    for words in patterns:
        if words and len(words) != 3:
            raise SystemExit(f"{path}: an exception has three patterns, CASE KIND NAME: {' '.join(words)}")
    return [{"words": words, "used": False} for words in patterns if words]


def report(differences, exceptions):
    """Prints the differences that no exception names, the first ones of each case; returns how many the exceptions name."""
    meant, printed = 0, collections.Counter()
    for case, kind, name, before, after in differences:
        fitting = [one for one in exceptions if all(map(fnmatch.fnmatch, (case, kind, name), one["words"]))]
        for one in fitting:
            one["used"] = True
        if fitting:
            meant += 1
            continue
        printed[case] += 1
        if printed[case] <= MOST:
            print(f"{case} {kind} {name}: {short(before)} -> {short(after)}")
    for case, count in printed.items():
        if count > MOST:
            print(f"{case}: {count - MOST} more")
    return meant


def short(value):
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) < 80 else text[:60] + "... " + digest(text.encode())[:8]


# Models of another program


def check_old(args):
    recorded = json.loads((args.models / "record.json").read_text())
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        for part in args.models.resolve().iterdir():
            if part.is_dir():
                (folder / part.name).symlink_to(part)
        program = Program(args.program, folder, args)
        names = [name for name, case in recorded.items() if "tensor" in case and wanted(name, args.only)]
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            found = pool.map(lambda name: check_model(program, name, recorded[name]), names)
            faults = [fault for faults in found for fault in faults]
    for fault in faults:
        print(fault)
    print(f"{len(names)} models: {len(faults)} faults")
    return 1 if faults else 0


def check_model(program, name, recorded):
    try:
        program.run("verify", model(name))
        found = {**program.scores(name, recorded["set"]), "metric": program.metrics(name, recorded["set"])}
    except Failed as failure:
        return [f"{name}: {failure}"]
    kept = {kind: recorded[kind] for kind in found}
    return [
        f"{case} {kind} {image}: {short(before)} -> {short(after)}"
        for case, kind, image, before, after in all_differences({name: kept}, {name: found})
    ]


if __name__ == "__main__":
    main()
