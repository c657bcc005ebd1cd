"""A server under full load for a while, with everything that goes wrong in a plant: kills, full disk, no broker, new models, bad images.

    python benches/serve/soak.py target/release/blemish [--minutes 30] [--kills 20] [--swaps 20] [--seed 0]

Two models of one part take turns under one name. Clients post images without a pause; one image in ten is broken; some clients send slowly; files
are dropped half-written into a watched folder. Meanwhile the server is killed (SIGKILL) and started again, its model is replaced, the broker of
its messages (mosquitto, where there is one) goes and comes back, and the disk of its kept images, a file system of 1 MiB where this may be
mounted, is full. Every verdict is compared with what `predict` says for the version that it names. At the end: answers by status, wrong verdicts (must
be 0), verdicts that the station's history has lost beyond the last 200 ms before a kill (must be 0), and memory. Loads come from this machine
alone. Needs Python's standard library alone.
"""

import argparse
import collections
import http.client
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))
from blemish import Program
from server import Server, free_port


class Line:
    """The server with all it needs, and what clients saw."""

    def __init__(self, args, folder):
        self.args, self.folder, self.random = args, folder, random.Random(args.seed)
        self.program = Program(args.program)
        self.port, self.broker_port = free_port(), free_port()
        self.ends = time.monotonic() + 60 * args.minutes
        self.lock = threading.Lock()
        self.statuses, self.wrong, self.answered, self.kills = collections.Counter(), [], [], []
        self.memory, self.events, self.broker = [], collections.Counter(), None

    def prepare(self):
        self.log = (self.folder / "log.jsonl").open("w")
        parts = self.folder / "parts"
        self.program.synth(parts, "--look", "fabric", "--train", 24, "--test-good", 10, "--test-per-defect", 3, "--size", "256x256", "--seed", 3)
        self.images = sorted((parts / "test").rglob("*.png"))
        self.truth = {}
        for number, method in enumerate(("padim", "patchcore")):
            model = self.folder / f"{number}.blemish"
            self.program.fit(parts, model, "--method", method, "--folds", 2)
            lines, _ = self.program.predict(model, *self.images)
            self.truth[self.version(model)] = {Path(line["path"]).name + Path(line["path"]).parent.name: line for line in lines}
        self.model = self.folder / "line.blemish"
        shutil.copy(self.folder / "0.blemish", self.model)
        (self.folder / "drop").mkdir()
        self.keep = self.folder / "keep"
        self.keep.mkdir()
        self.is_mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", self.keep], capture_output=True).returncode == 0
        station = self.folder / "station"
        station.mkdir()
        (station / "sources.toml").write_text(f'[[source]]\nname = "drop"\nmodel = "line"\nfolder = "{self.folder / "drop"}"\n')
        (self.folder / "serve.toml").write_text(f'[[sink]]\nkind = "mqtt"\nurl = "mqtt://127.0.0.1:{self.broker_port}"\nprefix = "soak"\n')

    def version(self, model):
        """The version under which verdicts name a model."""
        with self.server(f"line={model}") as server:
            return json.loads(server.get("/v1/models/line")[1])["version"]

    def server(self, *words):
        command = [self.args.program, "serve", "--listen", f"127.0.0.1:{self.port}", *words]
        return Server(command, self.port, patience=60, log=self.log)

    def start(self):
        words = [f"line={self.model}", "--station", self.folder / "station", "--config", self.folder / "serve.toml", "--keep", "flagged", "--keep-dir", self.keep]
        self.running = self.server(*words).__enter__()

    def client(self, number):
        """Posts images one after another; now and then a broken or a slow one."""
        mind = random.Random(self.args.seed * 1000 + number)
        connection = None
        while time.monotonic() < self.ends:
            image = mind.choice(self.images)
            body = image.read_bytes()
            is_broken = mind.random() < 0.1
            if is_broken:
                body = body[: mind.randrange(1, len(body))] if mind.random() < 0.5 else os.urandom(2000)
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=40)
                if mind.random() < 0.002:
                    connection.putrequest("POST", "/v1/models/line/score")
                    connection.putheader("Content-Length", str(len(body)))
                    connection.endheaders()
                    for start in range(0, len(body), len(body) // 4 + 1):
                        connection.send(body[start : start + len(body) // 4 + 1])
                        time.sleep(0.5)
                else:
                    connection.request("POST", "/v1/models/line/score", body)
                response = connection.getresponse()
                answer, arrived = json.loads(response.read()), time.time()
            except (OSError, http.client.HTTPException, ValueError):
                connection = None
                with self.lock:
                    self.statuses["no answer"] += 1
                time.sleep(0.05)
                continue
            with self.lock:
                self.statuses[response.status] += 1
                if response.status == 200:
                    self.check(image, is_broken, answer, arrived)

    def check(self, image, is_broken, answer, arrived):
        key = image.name + image.parent.name
        truth = self.truth.get(answer["version"], {}).get(key)
        same = truth and all(answer[name] == truth[name] for name in ("score", "p_value", "threshold", "anomalous"))
        if is_broken or not same:
            self.wrong.append((image.name, is_broken, answer, truth))
        self.answered.append((answer["id"], arrived))

    def trouble(self):
        """Everything that goes wrong, spread over the time."""
        length = self.ends - time.monotonic()
        now = time.monotonic()
        moments = [(now + length * (at + 0.5) / self.args.kills, self.kill) for at in range(self.args.kills)]
        moments += [(now + length * (at + 0.25) / self.args.swaps, self.swap) for at in range(self.args.swaps)]
        moments += [(now + length * (at + 0.1) / 40, self.drop) for at in range(40)]
        moments += [(now + length * (at + 0.7) / 6, self.turn_broker) for at in range(6)]
        for moment, what in sorted(moments, key=lambda pair: pair[0]):
            time.sleep(max(0.0, moment - time.monotonic()))
            what()
            self.events[what.__name__] += 1
        time.sleep(max(0.0, self.ends - time.monotonic()))

    def kill(self):
        self.memory.append(self.running.memory_mib())
        self.kills.append(time.time())
        self.running.child.send_signal(signal.SIGKILL)
        self.running.child.wait()
        self.start()

    def swap(self):
        other = self.folder / f"{self.events['swap'] % 2 ^ 1}.blemish"
        fresh = self.folder / "fresh.blemish"
        shutil.copy(other, fresh)
        os.replace(fresh, self.model)

    def drop(self):
        """A file that grows in steps, and one that is cut for good."""
        body = self.random.choice(self.images).read_bytes()
        number = self.events["drop"]
        with (self.folder / "drop" / f"{number:03}.png").open("wb") as file:
            file.write(body[: len(body) // 2])
            file.flush()
            if number % 4:
                time.sleep(0.4)
                file.write(body[len(body) // 2 :])

    def turn_broker(self):
        if self.broker:
            self.broker.kill()
            self.broker.wait()
            self.broker = None
        elif program := shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin"):
            self.broker = subprocess.Popen([program, "-p", str(self.broker_port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        else:
            print("skipped: no mosquitto on this machine")

    def run(self):
        self.prepare()
        self.start()
        threads = [threading.Thread(target=self.client, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        try:
            self.trouble()
        finally:
            self.ends = 0
            for thread in threads:
                thread.join()
            time.sleep(2)
            self.memory.append(self.running.memory_mib())
            self.running.child.send_signal(signal.SIGTERM)
            code = self.running.child.wait(30)
            if self.broker:
                self.broker.kill()
            if self.is_mounted:
                subprocess.run(["umount", self.keep])
        lost = self.lost()
        print(f"answers: {dict(self.statuses)}")
        print(f"trouble: {dict(self.events)}, full disk {'yes' if self.is_mounted else 'skipped: cannot mount'}")
        print(f"verdicts {len(self.answered)}, wrong {len(self.wrong)}, lost from the history beyond 200 ms before a kill {len(lost)}")
        print(f"memory before each kill and at the end, MiB: {' '.join(f'{value:.0f}' for value in self.memory)}")
        print(f"end by SIGTERM: {code}")
        for entry in self.wrong[:3] + lost[:3]:
            print("  ", entry)
        return not self.wrong and not lost and code == 0

    def lost(self):
        """Verdicts that were answered and are in no row, unless within 200 ms before a kill."""
        database = self.folder / "station" / "history.db"
        with sqlite3.connect(database) as history:
            known = {row[0] for row in history.execute(self.args.query)}
        excused = lambda arrived: any(0 <= kill - arrived <= 0.2 for kill in self.kills)
        return [(name, arrived) for name, arrived in self.answered if name not in known and not excused(arrived)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--query", default="SELECT request FROM image", help="SQL of the ids that the history knows")
    parser.add_argument("--keep-folder", type=Path, help="where to work; a temporary folder without it")
    arguments = parser.parse_args()
    if arguments.keep_folder:
        arguments.keep_folder.mkdir(parents=True)
        sys.exit(not Line(arguments, arguments.keep_folder.resolve()).run())
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(not Line(arguments, Path(temporary)).run())
