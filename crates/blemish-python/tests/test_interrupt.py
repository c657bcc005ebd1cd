"""Ctrl-C and exceptions stop a training, leave nothing half-written, and a resumed one ends with the same bits."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import blemish
from blemish import Detector, Progress

SCRIPT = Path(__file__).with_name("interrupted.py")


def start(checkpoint: Path | str, mode: str) -> subprocess.Popen[str]:
    words = [sys.executable, str(SCRIPT), str(checkpoint), mode]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until_training(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        if line.strip() == "training":
            return
    pytest.fail(f"it ended before it trained: {child.stderr.read() if child.stderr else ''}")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as on Unix")
def test_ctrl_c_ends_a_training_and_a_resumed_one_has_the_same_bits(tmp_path: Path) -> None:
    whole = start("", "whole")
    told, errors = whole.communicate(timeout=300)
    identity = told.strip().splitlines()[-1]
    assert identity.startswith("identity"), errors
    checkpoint = tmp_path / "kept" / "training"
    checkpoint.parent.mkdir()
    child = start(checkpoint, "stop")
    until_training(child)
    asked = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=30)
    assert time.monotonic() - asked < 3.0
    assert "KeyboardInterrupt" in errors and child.returncode in (1, -signal.SIGINT, 130)
    kept = list(checkpoint.parent.iterdir())
    assert kept and all(one.name.startswith("training-") for one in kept), kept
    resumed = start(checkpoint, "resume")
    told, errors = resumed.communicate(timeout=300)
    assert told.strip().splitlines()[-1] == identity, errors
    assert not list(checkpoint.parent.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as on Unix")
def test_ctrl_c_without_a_checkpoint_leaves_no_file(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, str(SCRIPT), "", "stop"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    until_training(child)
    asked = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=30)
    assert time.monotonic() - asked < 1.0, time.monotonic() - asked
    assert "KeyboardInterrupt" in errors and not list(tmp_path.iterdir())


def test_an_exception_in_progress_cancels_and_comes_through() -> None:
    class Enough(Exception):
        pass

    def told(progress: Progress) -> None:
        if progress.done > 0:
            raise Enough

    images = [np.random.default_rng(n).integers(0, 255, (64, 64, 3), np.uint8) for n in range(8)]
    detector = Detector("fastflow", size=(64, 64), folds=0, steps=100_000, batch=4)
    started = time.monotonic()
    with pytest.raises(Enough):
        detector.fit(images, progress=told)
    assert time.monotonic() - started < 30 and not detector.is_fitted
    # The next one works.
    assert Detector("fastflow", size=(64, 64), folds=0, steps=2, batch=4).fit(images).is_fitted


def test_progress_is_told_at_most_ten_times_a_second(good: list[Path]) -> None:
    heard: list[tuple[float, Progress]] = []
    detector = Detector("fastflow", size=(64, 64), folds=0, steps=40, batch=4)
    started = time.monotonic()
    detector.fit(good, progress=lambda progress: heard.append((time.monotonic(), progress)))
    assert heard and len(heard) <= 10 * (time.monotonic() - started) + 2
    assert all(isinstance(one, Progress) and one.stage for _, one in heard)


def test_warnings_as_errors_cancel(good: list[Path], tmp_path: Path) -> None:
    import warnings

    broken = tmp_path / "broken.png"
    broken.write_bytes(good[0].read_bytes()[:500])
    with warnings.catch_warnings():
        warnings.simplefilter("error", blemish.BlemishWarning)
        with pytest.raises(blemish.BlemishWarning):
            Detector(size=(64, 64), folds=0).fit([*good, broken], skip_bad=True)
