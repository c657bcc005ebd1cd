"""All surfaces say the same of the same images, to the last bit: program, Python, C, HTTP, the station's history.

`BLEMISH_PROGRAM` names the program with the server, `BLEMISH_LIBRARY` the C library; what is not named is not compared, and said.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blemish

Image = pytest.importorskip("PIL.Image", reason="Pillow is not here")

FIELDS = ("score", "p_value", "threshold", "anomalous", "regions")
MODELS = {
    "patchcore": ("--size", "64x64", "--false-alarm", "0.1"),
    "padim": ("--method", "padim", "--size", "64x64", "--false-alarm", "0.1"),
    "fapm": ("--method", "fapm", "--size", "128x128", "--folds", "0"),
    "statistical": ("--method", "statistical", "--size", "64x64", "--false-alarm", "0.1"),
    "tiled": ("--tile", "64x64", "--folds", "2"),
    "fastflow": ("--method", "fastflow", "--size", "128x128", "--set", "steps=4", "--folds", "0"),
}


def said(verdict: dict[str, Any]) -> dict[str, Any]:
    return {field: verdict.get(field) for field in FIELDS if field != "regions" or verdict.get("p_value") is not None}


@pytest.fixture(scope="module")
def images(new: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twenty: the new ones, a turned JPEG, a grey one, one of 16 bits, and brighter ones."""
    folder = tmp_path_factory.mktemp("images")
    paths = [*new]
    turned = Image.open(new[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(folder / "turned.jpg", quality=95, exif=exif)
    Image.open(new[1]).convert("L").save(folder / "grey.png")
    grey = np.asarray(Image.open(new[2]).convert("L")).astype(np.uint16)
    Image.fromarray(grey * 257 + 3).save(folder / "deep.png")
    paths += [folder / "turned.jpg", folder / "grey.png", folder / "deep.png"]
    for number in range(20 - len(paths)):
        brighter = np.clip(np.asarray(Image.open(new[number % len(new)])).astype(int) + 5 * number + 3, 0, 255).astype(np.uint8)
        Image.fromarray(brighter).save(folder / f"bright-{number}.png")
        paths.append(folder / f"bright-{number}.png")
    assert len(paths) >= 20
    return paths


@pytest.fixture(scope="module")
def truths(parts: Path, images: list[Path], run: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[dict[str, Any]]]]:
    """Every model and what the program says of the images."""
    folder = tmp_path_factory.mktemp("surfaces")
    known = {}
    for name, options in MODELS.items():
        model = folder / f"{name}.blemish"
        run("fit", parts, "-o", model, *options)
        known[name] = (model, [said(json.loads(line)) for line in run("predict", model, *images).splitlines()])
    return known


@pytest.mark.parametrize("name", MODELS)
def test_python_says_the_same(name: str, truths: dict[str, Any], images: list[Path]) -> None:
    model, truth = truths[name]
    detector = blemish.Detector.load(model, threads=1)
    assert [said(result.to_dict()) for result in detector.predict(images)] == truth
    assert [said(detector.predict(path.read_bytes()).to_dict()) for path in images] == truth


@pytest.mark.parametrize("name", MODELS)
def test_c_says_the_same(name: str, truths: dict[str, Any], images: list[Path]) -> None:
    if "BLEMISH_LIBRARY" not in os.environ:
        pytest.skip("BLEMISH_LIBRARY names no C library")
    library = ctypes.CDLL(os.environ["BLEMISH_LIBRARY"])
    library.blemish_result_json.restype = ctypes.c_char_p
    model, truth = truths[name]
    handle = ctypes.c_void_p()
    assert library.blemish_load(str(model).encode(), None, ctypes.byref(handle), None) == 0
    told, encoded = [], []
    for path in images:
        result, data = ctypes.c_void_p(), path.read_bytes()
        assert library.blemish_score_file(handle, str(path).encode(), None, ctypes.byref(result), None) == 0
        told.append(said(json.loads(library.blemish_result_json(result))))
        library.blemish_result_free(result)
        assert library.blemish_score_encoded(handle, data, ctypes.c_size_t(len(data)), None, ctypes.byref(result), None) == 0
        encoded.append(said(json.loads(library.blemish_result_json(result))))
        library.blemish_result_free(result)
    library.blemish_detector_free(handle)
    assert told == truth
    assert encoded == truth


def test_the_server_and_its_history_say_the_same(truths: dict[str, Any], images: list[Path], tmp_path: Path) -> None:
    if "BLEMISH_PROGRAM" not in os.environ:
        pytest.skip("BLEMISH_PROGRAM names no program with a server")
    models = [f"{name}={model}" for name, (model, _) in truths.items()]
    command = [os.environ["BLEMISH_PROGRAM"], "serve", *models, "--listen", "127.0.0.1:0", "--station", str(tmp_path / "station"), "--logs", "text"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        began = time.monotonic()
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", (tmp_path / "log").read_text())):
            assert server.poll() is None and time.monotonic() - began < 60, (tmp_path / "log").read_text()
            time.sleep(0.05)
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)

        def ask(method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

        while ask("GET", "/readyz")[0] != 200:
            time.sleep(0.05)
        answered = {}
        for name, (_, truth) in truths.items():
            verdicts = []
            for path in images:
                status, verdict = ask("POST", f"/v1/models/{name}/score", path.read_bytes())
                assert status == 200, verdict
                verdicts.append(verdict)
                answered[verdict["id"]] = said(verdict)
            assert [said(verdict) for verdict in verdicts] == truth, name
            sent = {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 0}}]}
            for path, line in zip(images[:3], truth, strict=False):
                body = path.read_bytes()
                sent["inputs"][0]["parameters"] = {"binary_data_size": len(body) + 4}
                head = json.dumps(sent).encode()
                connection.request("POST", f"/v2/models/{name}/infer", head + len(body).to_bytes(4, "little") + body, {"Inference-Header-Content-Length": str(len(head))})
                answer = connection.getresponse()
                text = answer.read()
                assert answer.status == 200, text
                outputs = {output["name"]: output["data"] for output in json.loads(text)["outputs"]}
                assert np.float32(outputs["score"][0]) == np.float32(line["score"]), name
    finally:
        server.terminate()
        server.wait(30)
    database = tmp_path / "station" / "history.db"
    history = sqlite3.connect(database)
    rows = history.execute("SELECT request, verdict.score, verdict.p_value, verdict.threshold, verdict.anomalous, verdict.regions FROM verdict JOIN image ON image.id = verdict.image").fetchall()
    kept = {row[0]: row[1:] for row in rows}
    for image, verdict in answered.items():
        score, p_value, threshold, anomalous, regions = kept[image]
        assert np.float32(score) == np.float32(verdict["score"])
        assert p_value == verdict["p_value"]
        assert threshold is None or np.float32(threshold) == np.float32(verdict["threshold"])
        assert anomalous == (None if verdict["anomalous"] is None else int(verdict["anomalous"]))
        if verdict["p_value"] is not None:
            assert json.loads(regions) == verdict["regions"]
