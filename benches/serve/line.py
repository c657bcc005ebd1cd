"""Tries the page "Deploy on a line" (book/src/how-to/line.md): its blocks as they are printed, but for addresses and folders of this machine.

    python benches/serve/line.py target/release/blemish

One image from Python; a folder and cameras (ffmpeg's and GStreamer's test pictures in the place of a lens), a trigger, a camera that falls silent;
verdicts to mosquitto, to a folder and to the page's program, which closes a contact through a stand-in for gpioset; the pages and events behind
nginx; both systemd units before `systemd-analyze verify`. What is not installed is skipped aloud. Elsewhere: the notify socket, the watchdog and
SIGHUP (`cargo test -p blemish-cli --test program serving`), webhooks, Modbus, TLS to the broker (`cargo test -p blemish-serve sinks`). Needs
Python's standard library alone.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))
from blemish import Program
from server import Server, free_port

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "book/src/how-to/line.md").read_text()
HOST = "station.plant.example"
TEST_PICTURES = '"-re", "-f", "lavfi", "-i", "testsrc2=size=640x480:rate=5"'
os.environ["PATH"] += ":/usr/sbin"


def block(text):
    """The one block of the page that holds this text."""
    found = [block for block in re.findall(r"^```\w+\n(.*?)^```", PAGE, re.S | re.M) if text in block]
    assert len(found) == 1, f"{len(found)} blocks of the page hold {text!r}"
    return found[0]


def changed(text, **places):
    """The text with other places for some that the page names."""
    for old, new in places.items():
        assert old in text, f"the page no longer has {old!r}"
        text = text.replace(old, str(new))
    return text


def row(camera):
    """The command of a camera in the page's table, as a list."""
    return re.search(rf"^\| {re.escape(camera)}[^|]*\| `(.+)` \|$", PAGE, re.M)[1].split()


def has(*programs):
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        print(f"  skipped: there is no {' and no '.join(missing)} on this machine")
    return not missing


def until(what, holds, seconds=30):
    end = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < end, f"{what}: not after {seconds} s"
        time.sleep(0.05)
    return value


@contextlib.contextmanager
def running(*command, **options):
    """A program until the block ends."""
    child = subprocess.Popen([str(word) for word in command], **options)
    try:
        yield child
    finally:
        child.terminate()
        child.wait(10)


class Line:
    """A folder with a model, and a server of it."""

    def __init__(self, program, folder):
        self.program, self.folder, self.port = program, folder, free_port()
        self.log = (folder / "log.jsonl").open("w")
        maker = Program(program)
        maker.synth(folder / "parts", "--look", "fabric", "--train", 24, "--test-good", 3, "--test-per-defect", 1, "--size", "256x256", "--seed", 3)
        maker.fit(folder / "parts", folder / "line.blemish", "--fast")
        self.good, self.defective = (sorted((folder / "parts/test").glob(f"{kind}/*.png")) for kind in ("good", "[!g]*"))
        self.truth = {line["path"]: line for line in maker.predict(folder / "line.blemish", *self.good, *self.defective)[0]}

    def server(self, *words):
        return Server([self.program, "serve", *words, "--listen", f"127.0.0.1:{self.port}"], self.port, log=self.log)

    def score(self, image):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("POST", "/score", image.read_bytes())
        verdict = json.loads(connection.getresponse().read())
        assert verdict["score"] == self.truth[str(image)]["score"], verdict
        return verdict

    def python(self, text, **options):
        return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, **options).stdout


def one_image(line):
    """The page's Python, on a good and on a defective image."""
    with line.server(f"line={line.folder / 'line.blemish'}"):
        for image, said in ((line.good[0], ""), (line.defective[0], "reject\n")):
            places = {"http://localhost:8080": f"http://localhost:{line.port}", "part.png": image}
            assert line.python(changed(block("def verdict"), **places)) == said, image


def cameras(line):
    """A folder and programs that deliver pictures."""
    if not has("ffmpeg"):
        return
    station, parts, done = (line.folder / name for name in ("station", "in", "done"))
    station.mkdir(), parts.mkdir()
    sources = changed(block('name = "inbox"'), **{"/srv/parts": parts, "/srv/done": done, '"-f", "v4l2", "-i", "/dev/video0"': TEST_PICTURES})
    silent = f"{' '.join(row('none yet'))} | head -c 300000; exec sleep 100"
    more = {"barrier": (row("none yet"), 'trigger = "request"'), "silent": (["sh", "-c", silent], 'stall = "3s"')}
    if has("gst-launch-1.0"):
        genicam = ["videotestsrc" if word == "aravissrc" else word for word in row("GenICam")]
        more["genicam"] = (genicam, 'trigger = "500ms"')
    print("  skipped: USB and RTSP, which need a camera")
    for name, (command, option) in more.items():
        sources += f'\n[[source]]\nname = "{name}"\ncommand = {json.dumps(command)}\n{option}\n'
    (station / "sources.toml").write_text(sources)
    with line.server(f"line={line.folder / 'line.blemish'}", "--station", station) as server:
        told = lambda name: next(one for one in json.loads(server.get("/v1/station/sources")[1])["sources"] if one["name"] == name)
        shutil.copy(line.defective[0], parts / "part.png")
        until("a file is scored and moved", lambda: told("inbox")["taken"] == 1 and (done / "part.png").exists())
        for name in more.keys() - {"barrier", "silent"} | {"camera"}:
            until(f"pictures of {name}", lambda: told(name)["taken"] >= 3)
        assert told("barrier")["taken"] == 0, "it waits for its trigger"
        for count in (1, 2):
            ask = changed(block("v1/trigger"), **{"localhost:8080": f"localhost:{line.port}", '"camera"': '"barrier"'})
            verdict = json.loads(subprocess.run(["sh", "-c", ask], capture_output=True, check=True).stdout)
            assert verdict["size"] == [480, 640] and told("barrier")["taken"] == count, verdict
        silent = until("the silent one is started again", lambda: (one := told("silent"))["restarts"] >= 2 and one["taken"] >= 2 and one)
        print(f"  camera at 500ms: {told('camera')['taken']} scored; silent one: started again {silent['restarts']} times")
    log = (line.folder / "log.jsonl").read_text()
    assert '"source":"silent"' in log and "no picture for 3 s" in log, "the log says why"


def sinks(line):
    """The page's serve.toml with a broker, its topics, a folder of JSON Lines, and the page's program for a contact."""
    if not has("mosquitto", "mosquitto_sub", "mosquitto_passwd"):
        return
    folder, port = line.folder, free_port()
    subprocess.run(["mosquitto_passwd", "-b", "-c", folder / "passwords", "line3", "secret"], check=True, capture_output=True)
    (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\npassword_file {folder}/passwords\nallow_anonymous false\nuser root\n")
    (folder / "reject.py").write_text(block("gpioset"))
    stand_in = folder / "bin/gpioset"
    stand_in.parent.mkdir()
    stand_in.write_text(f'#!/bin/sh\necho "$@" >> {folder}/contacts\n')
    stand_in.chmod(0o755)
    os.environ.update(PATH=f"{stand_in.parent}:{os.environ['PATH']}", MQTT_PASSWORD="secret")
    (folder / "serve.toml").write_text(changed(block("[[sink]]"), **{"broker:1883": f"127.0.0.1:{port}", "/opt/line/reject.py": folder / "reject.py"}))
    heard = folder / "heard"
    listen = block("mosquitto_sub").split("#   ")[0].replace("-h broker", f"-h 127.0.0.1 -p {port} -u line3 -P secret").strip()
    with running("mosquitto", "-c", folder / "mosquitto.conf", stderr=line.log), heard.open("w") as file:
        time.sleep(0.5)
        with running("sh", "-c", f"exec {listen}", stdout=file):
            with line.server("--config", folder / "serve.toml") as server:
                verdicts = [line.score(image) for image in line.good + line.defective]
                result = lambda: re.findall(r"^plant/line3/line/result (.*)$", heard.read_text(), re.M)
                until("all verdicts at the broker", lambda: len(result()) == len(verdicts))
                scores = lambda lines: [json.loads(text)["score"] for text in lines]
                wanted = [verdict["score"] for verdict in verdicts]
                assert scores(result()) == wanted, "in their order"
                lines = lambda: [text for path in (folder / "verdicts").glob("*.jsonl") for text in path.read_text().splitlines()]
                until("all verdicts in the folder", lambda: len(lines()) == len(verdicts))
                assert scores(lines()) == wanted
                flagged = sum(verdict["anomalous"] for verdict in verdicts)
                contacts = lambda: (folder / "contacts").read_text().splitlines()
                until("a contact for each flagged part", lambda: (folder / "contacts").exists() and len(contacts()) == flagged)
                assert set(contacts()) == {"--mode=time --usec=200000 gpiochip0 17=1"}, contacts()
                assert "plant/line3/status online" in heard.read_text()
                server.child.kill()
                until("the broker says offline", lambda: "plant/line3/status offline" in heard.read_text(), 60)
    print(f"  {len(verdicts)} verdicts in order at the broker and in the folder, {flagged} contacts closed, offline after a kill")


def proxy(line):
    """The page's block of nginx in front of a server with a token."""
    if not has("nginx", "openssl"):
        return
    folder, port = line.folder, free_port()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True)  # fmt: skip
    places = " ".join(f"{kind}_temp_path {folder}/nginx;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    server = changed(block("server_name"), **{"listen 443": f"listen 127.0.0.1:{port}", "127.0.0.1:8080": f"127.0.0.1:{line.port}"})
    (folder / "nginx.conf").write_text(
        f"user root; daemon off; pid {folder}/nginx.pid; error_log stderr; events {{}} http {{ access_log off; {places}\n"
        f"ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;\n{server}}}\n"
    )
    (folder / "tokens").write_text("secret-of-line score,read,label,admin\n")
    (folder / "tokens").chmod(0o600)
    trusting = ssl.create_default_context(cafile=folder / "cert.pem")

    class Connection(http.client.HTTPSConnection):
        """To nginx on this machine, under the name of the plant."""

        def connect(self):
            http.client.HTTPConnection.connect(self)
            self.sock = trusting.wrap_socket(self.sock, server_hostname=HOST)

    def ask(verb, path, body=None, token="secret-of-line", **headers):
        connection = Connection("127.0.0.1", port, timeout=30, context=trusting)
        known = {"Host": f"{HOST}:{port}"} | ({"Authorization": f"Bearer {token}"} if token else {})
        connection.request(verb, path, body, known | {name.replace("_", "-"): value for name, value in headers.items()})
        return connection.getresponse()

    serve = line.server(f"line={folder / 'line.blemish'}", "--station", folder / "proxied", "--host", HOST, "--token-file", folder / "tokens")
    with serve, running("nginx", "-c", folder / "nginx.conf", stderr=line.log):
        until("nginx listens", lambda: answers(ask))
        events = ask("GET", "/v1/events")
        image = line.defective[0]
        verdict = json.loads(ask("POST", "/score", image.read_bytes()).read())
        assert verdict["score"] == line.truth[str(image)]["score"], verdict
        # Nothing but this one event has come, so a proxy that collects would still hold it.
        while not (text := events.readline()).startswith(b"data:") or verdict["id"].encode() not in text:
            assert text, "the events have ended"
        pages = ("/", "/history", "/threshold", "/models", "/new", "/compare", "/drift", "/settings")
        assert {ask("GET", page, token=None).status for page in pages} == {200}
        origin = f"https://{HOST}:{port}"
        entered = ask("POST", "/v1/station/login", '{"token": "secret-of-line", "name": "Ada"}', token=None, Origin=origin)
        cookie = entered.headers["Set-Cookie"]
        assert entered.status == 200 and "; Secure" in cookie, (entered.status, cookie)
        for of, status in ((origin, 200), ("https://elsewhere.example", 403)):
            assert ask("POST", "/v1/station/pause", token=None, Cookie=cookie.split(";")[0], Origin=of).status == status, of
        assert ask("POST", "/score", bytes(35_000_000)).status == 413, "over --max-body"
        assert ask("POST", "/score", token=None).status == 401
        assert ask("GET", "/livez", Host="elsewhere.example").status == 421
    print("  scored, events at once, pages, login by a cookie for TLS alone, 413, 401, 403, 421")


def answers(ask):
    try:
        return ask("GET", "/livez").status == 200
    except OSError:
        return False


def units(line):
    """What systemd says of the page's unit and of the package's."""
    if not has("systemd-analyze"):
        return
    packaged = (ROOT / "packaging/blemish.service").read_text()
    for name, text, program in (("page", block("[Unit]"), "/usr/local/bin/blemish"), ("package", packaged, "/usr/bin/blemish")):
        path = line.folder / name / "blemish.service"
        path.parent.mkdir()
        # The manual need not be installed here.
        path.write_text(re.sub("^Documentation=.*\n", "", changed(text, **{program: line.program}), flags=re.M))
        done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, done.stderr


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        line = Line(args.program.resolve(), Path(temporary))
        for part in (one_image, cameras, sinks, proxy, units):
            print(f"{part.__name__}: {part.__doc__}", flush=True)
            part(line)
