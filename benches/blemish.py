"""Runs the program for the scripts of this folder, reads what it writes, and keeps figures as rows of CSV.

    program = Program("target/release/blemish")
    program.fit("parts", "part.blemish", "--method", "padim").cpu        # CPU seconds of the whole process
    metrics, run = program.evaluate("part.blemish", "parts")             # what `eval --json` writes, and what it took
    lines, run = program.predict("part.blemish", "new/")                 # a dictionary an image

    rows = Rows("speed")
    rows.add(set="parts", method="padim", metric="fit, CPU s", value=1.9)

Rows lie in benches/runs/DATE-MACHINE/NAME.csv (`BLEMISH_RUNS` names another folder, `BLEMISH_MACHINE` the machine); benches/runs/README.md
says what the columns mean. Needs Python's standard library alone, and Linux or macOS.
"""

import csv
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

COLUMNS = ["set", "method", "variant", "metric", "value", "spread", "seeds", "peer", "command", "note"]


@dataclass
class Run:
    """A process that has ended: what it wrote and what it took."""

    out: str
    err: str
    wall: float  # seconds
    cpu: float  # seconds of user and system, all threads
    peak_mb: float  # largest resident memory, MiB

    def json(self):
        """What it wrote to standard output, as JSON."""
        return json.loads(self.out)

    def lines(self):
        """What it wrote to standard output, as JSON Lines."""
        return json_lines(self.out)

    def progress(self):
        """Progress and warnings of a command with `--json` or `--progress json`: the JSON Lines on standard error."""
        return json_lines(self.err)


def json_lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def run(*command, cwd=None, **environment):
    """Runs any command to its end. A failure ends the script with the command and the end of what it said."""
    words = [str(word) for word in command]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        started = time.perf_counter()
        child = subprocess.Popen(words, stdout=out, stderr=err, cwd=cwd, env={**os.environ, **environment})
        # wait4 and not wait: it alone tells the CPU time and the memory of this one process.
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), err.seek(0)
        said = err.read()
        if child.returncode:
            raise Failed(f"{' '.join(words)}\nended with {child.returncode}:\n{said[-3000:]}")
        # Linux counts kilobytes, macOS bytes.
        peak_mb = used.ru_maxrss / (1024 if sys.platform != "darwin" else 1024 * 1024)
        return Run(out.read(), said, wall, used.ru_utime + used.ru_stime, peak_mb)


class Failed(SystemExit):
    """A command that failed; uncaught it ends the script with the message."""


class Program:
    """The program `blemish`, with options that every call gets, and the folder in which it runs."""

    def __init__(self, path, *options, cwd=None):
        self.path, self.options, self.cwd = Path(path).resolve(), options, cwd

    def run(self, *words):
        """Any command; without progress unless the words ask for `--json`, which brings progress as JSON Lines."""
        quiet = [] if "--json" in words or "--progress" in words else ["--progress", "none"]
        return run(self.path, *words, *self.options, *quiet, cwd=self.cwd)

    def line(self, text):
        """Any command, written as one line of words without blanks in them."""
        return self.run(*text.split())

    def synth(self, folder, *options):
        """Makes a synthetic set."""
        return self.run("data", "synth", folder, *options)

    def fit(self, data, model, *options):
        """Fits a model and writes it to the path `model`."""
        return self.run("fit", data, *options, "-o", model)

    def predict(self, model, *images):
        """Scores images: a dictionary each, and the run. Options may stand among the images; with `-o` the list is empty."""
        done = self.run("predict", model, *images)
        return done.lines(), done

    def evaluate(self, model, data, *options):
        """The metrics of a model on labelled data, as `eval --json` writes them, and the run."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "metrics.json"
            done = run(self.path, "eval", model, data, "--json", path, *options, *self.options, "--progress", "none", cwd=self.cwd)
            return json.loads(path.read_text()), done

    def info(self, model):
        """What `info --json` tells of a model."""
        return run(self.path, "info", model, "--json", cwd=self.cwd).json()


def figures(metrics):
    """Image AUROC, pixel AUROC and AUPRO of what `evaluate` gives, 0 to 1; None for a set without masks."""
    pixel = metrics["pixel"] or {}
    return {"image": metrics["image"]["auroc"], "pixel": pixel.get("auroc"), "aupro": pixel.get("aupro")}


NAMES = {"image": "image AUROC, %", "pixel": "pixel AUROC, %", "aupro": "AUPRO, %"}


def mean_and_spread(values, scale=1.0, digits=1):
    """Mean and standard deviation of the values that are there, as text; the spread of a single value is empty."""
    there = [scale * value for value in values if value is not None]
    if not there:
        return "", ""
    spread = f"{statistics.stdev(there):.{digits}f}" if len(there) > 1 else ""
    return f"{statistics.mean(there):.{digits}f}", spread


def shown(value, spread=""):
    """A figure for a table that people read."""
    return f"{value} ± {spread}" if spread else value or "-"


def machine():
    """The machine in a word: its processor and how many cores there are."""
    if "BLEMISH_MACHINE" in os.environ:
        return os.environ["BLEMISH_MACHINE"]
    name = platform.machine()
    if Path("/proc/cpuinfo").exists():
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        name = found[1] if found else name
    slug = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\(.*?\)|processor|cpu|@.*", "", name.lower())).strip("-")
    return f"{slug}-{os.cpu_count()}"


class Rows:
    """Figures of a benchmark, kept as CSV. A row with the same names replaces the earlier one, so a run can go on another time."""

    def __init__(self, name):
        home = Path(os.environ.get("BLEMISH_RUNS", Path(__file__).resolve().parent / "runs"))
        self.path = home / f"{datetime.date.today()}-{machine()}" / f"{name}.csv"
        self.rows, self.lock = {}, threading.Lock()
        if self.path.exists():
            with open(self.path, newline="") as file:
                for row in csv.DictReader(file):
                    self.rows[self.key(row)] = row

    @staticmethod
    def key(row):
        return tuple(row[name] for name in ("set", "method", "variant", "metric", "peer", "note"))

    def add(self, **row):
        """Adds one figure; every row is on disk before this returns. One without a value, such as the pixel AUROC of a set without masks, is left
        out."""
        if row.get("value") in (None, ""):
            return
        unknown = set(row) - set(COLUMNS)
        assert not unknown, f"no such columns: {unknown}"
        row = {name: str(row.get(name, "") if row.get(name) is not None else "") for name in COLUMNS}
        row["command"] = row["command"] or command()
        with self.lock:
            self.rows[self.key(row)] = row
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "w", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                writer.writeheader()
                writer.writerows(self.rows.values())


def command():
    """The running script as its command begins, seen from the root of the repository; its arguments name folders of this machine alone."""
    script, home = Path(sys.argv[0]).resolve(), Path(__file__).resolve().parents[1]
    return f"python {script.relative_to(home) if script.is_relative_to(home) else script.name}"
