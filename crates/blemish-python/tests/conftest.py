"""What several tests need: a small synthetic set, a detector fitted on it, and the program."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import blemish

SIZE = (64, 64)


def program(*words: object) -> str:
    """Runs the program that the wheel brings and gives its standard output."""
    done = subprocess.run([sys.executable, "-m", "blemish", *map(str, words)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def run() -> Callable[..., str]:
    return program


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 good images to learn from, 4 good and 2 of every defect to test on, 96 x 128 pixels, with masks."""
    folder = tmp_path_factory.mktemp("data") / "parts"
    program("data", "synth", folder, "--train", 24, "--test-good", 4, "--test-per-defect", 2, "--size", "128x96", "--seed", 3)
    return folder


@pytest.fixture(scope="session")
def good(parts: Path) -> list[Path]:
    return sorted((parts / "train" / "good").iterdir())


@pytest.fixture(scope="session")
def new(parts: Path) -> list[Path]:
    return sorted((parts / "test").glob("*/*.png"))


@pytest.fixture(scope="session")
def detector(good: list[Path]) -> blemish.Detector:
    return blemish.Detector(size=SIZE, false_alarm=0.1).fit(good)


@pytest.fixture(scope="session")
def model(detector: blemish.Detector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "part.blemish"
    detector.save(path)
    return path


@pytest.fixture(scope="session")
def lines(model: Path, new: list[Path]) -> list[dict[str, Any]]:
    """What the program says of the new images."""
    return [json.loads(line) for line in program("predict", model, *new).splitlines()]
