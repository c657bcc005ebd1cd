"""A server as a process of its own, for the scripts of this folder."""

import http.client
import os
import re
import socket
import subprocess
import time
from pathlib import Path


def free_port():
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return any_port.getsockname()[1]


class Server:
    """A server at a port of this machine, from its start until the block ends or somebody ends its `child`."""

    def __init__(self, command, port, ready="/readyz", patience=300, log=subprocess.DEVNULL):
        self.command, self.port, self.ready = [str(word) for word in command], port, ready
        self.patience, self.log = patience, log

    def __enter__(self):
        started = time.perf_counter()
        self.child = subprocess.Popen(self.command, stdout=self.log, stderr=self.log)
        while True:
            try:
                if self.get(self.ready)[0] == 200:
                    break
            except OSError:
                pass
            if self.child.poll() is not None:
                raise SystemExit(f"{' '.join(self.command)} ended with {self.child.returncode}")
            if time.perf_counter() - started > self.patience:
                raise SystemExit(f"{' '.join(self.command)} does not get ready")
            time.sleep(0.002)
        self.seconds_to_ready = time.perf_counter() - started
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait(30)

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def cpu_seconds(self):
        """User and system, all threads, since its start."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self):
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.child.pid}/status").read_text())[1]) / 1024
