"""What every trained method must be able to do through the program, tried and not timed.

    python benches/abilities.py target/release/blemish [METHOD...]

For each method that trains a network (all of them by default), with few steps on small synthetic images: a training that is killed at a random step and
resumed gives the same model to the bit; a time limit ends it with a usable model; too little memory is named before the training begins; calibration, report,
tiles, `verify`, `pick` and `bench` work on it. Prints a table, and exits with 1 if anything fails. Needs Python's standard library alone, and Linux or macOS.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Settings that make a training of a second or two; what a method lacks is left out.
SMALL = {"steps": 60, "epochs": 3, "batch": 4, "stages": 1}
# Images that the method takes as they are.
SIDE = 128


class Bench:
    def __init__(self, program, folder):
        self.program, self.folder = Path(program).resolve(), Path(folder)

    def start(self, *words):
        return subprocess.Popen(
            [self.program, *map(str, words), "--progress", "json"],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words, code=0):
        child = self.start(*words)
        out, err = child.communicate()
        if child.returncode != code:
            raise Fault(f"{' '.join(map(str, words))} ended with {child.returncode}: {err.strip().splitlines()[-1:]}")
        return out, err

    def path(self, name):
        return self.folder / name


class Fault(Exception):
    pass


def small(bench, method):
    """Options of a short training of the method."""
    described = json.loads(bench.run("methods", method, "--json")[0])
    names = {setting["name"] for setting in described["settings"]}
    options = ["--method", method]
    for name, value in SMALL.items():
        if name in names:
            options += ["--set", f"{name}={value}"]
    return options


def trained(bench):
    methods = json.loads(bench.run("methods", "--json")[0])
    return [method["name"] for method in methods if any(s["name"] in ("steps", "epochs") for s in method["settings"])]


def killed_and_resumed(bench, options):
    """Killed without warning somewhere in the training, then resumed."""
    whole = ["fit", "set", *options, "--folds", "0"]
    bench.run(*whole, "-o", "whole.blemish")
    checkpoint = ["--checkpoint", "again"] if "--checkpoint" in bench.run("fit", "--help")[0] else []
    child = bench.start(*whole, *checkpoint, "-o", "again.blemish")
    for line in child.stderr:
        if '"training' in line:
            break
    time.sleep(random.uniform(0.1, 0.8))
    child.send_signal(random.choice([signal.SIGKILL, signal.SIGINT]))
    child.communicate()
    bench.run(*whole, *checkpoint, "--resume", "-o", "again.blemish")
    if bench.path("whole.blemish").read_bytes() != bench.path("again.blemish").read_bytes():
        raise Fault("the resumed model differs")


def limited(bench, options):
    long = [option if not option.startswith(("steps=", "epochs=")) else option.split("=")[0] + "=1000000" for option in options]
    bench.run("fit", "set", *long, "--folds", "0", "--time-limit", "2s", "-o", "limited.blemish")
    bench.run("predict", "limited.blemish", "set/test")


def refused(bench, options):
    child = bench.start("fit", "set", *options, "--folds", "0", "--memory-limit", "1MiB", "-o", "refused.blemish")
    _, err = child.communicate()
    if child.returncode == 0 or "memory" not in err:
        raise Fault(f"1 MiB was enough, or is not named: {err.strip().splitlines()[-1:]}")


def calibrated(bench, options):
    bench.run("fit", "set", *options, "-o", "model.blemish")
    bench.run("calibrate", "model.blemish", "--with-good", "set/test/good", "--false-alarm", "0.2")
    bench.run("verify", "model.blemish")


def reported(bench, _):
    bench.run("eval", "model.blemish", "set", "--report", "report.html")
    if bench.path("report.html").stat().st_size < 10_000:
        raise Fault("the report is empty")


def tiled(bench, options):
    bench.run("fit", "set", *options, "--folds", "0", "--tile", f"{SIDE}x{SIDE}", "--size", "192x192", "-o", "tiles.blemish")
    bench.run("predict", "tiles.blemish", "set/test")


def picked(bench, options):
    spec = options[1] + "".join(f":{value}" for value in options[3::2])
    bench.run("pick", "set", "--with", spec, "--latency", "5000", "-o", "picked.blemish")


def benched(bench, options):
    spec = options[1] + "".join(f":{value}" for value in options[3::2])
    bench.run("bench", "set", "--methods", spec, "-o", "board")


CHECKS = {
    "resume": killed_and_resumed,
    "limit": limited,
    "memory": refused,
    "calibrate, verify": calibrated,
    "report": reported,
    "tiles": tiled,
    "pick": picked,
    "bench": benched,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("methods", nargs="*")
    args = parser.parse_args()
    random.seed(0)
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args.program, folder)
        bench.run("data", "synth", "set", "--look", "metal", "--train", "12", "--test-good", "6", "--test-per-defect", "2", "--size", f"{SIDE}x{SIDE}")
        for method in args.methods or trained(bench):
            options = small(bench, method)
            for name, check in CHECKS.items():
                try:
                    check(bench, options)
                    outcome = "yes"
                except Fault as fault:
                    outcome, faults = f"NO: {fault}", faults + 1
                print(f"{method:12} {name:18} {outcome}", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
