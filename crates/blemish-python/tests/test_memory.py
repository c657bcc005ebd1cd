"""Memory stays flat, and nothing that was given is kept."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import numpy as np
import pytest

from blemish import Detector


def resident() -> int:
    """Resident memory in bytes."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("this system does not show resident memory under /proc")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def test_many_predictions_leave_nothing(good: list[Path]) -> None:
    detector = Detector("statistical", size=(32, 32), folds=0).fit(good[:6])
    image = np.random.default_rng(3).integers(0, 255, (64, 64, 3), np.uint8)
    references = sys.getrefcount(image)

    def work(count: int) -> None:
        for _ in range(count):
            detector.predict(image)

    work(500)
    gc.collect()
    before = resident()
    work(10_000)
    gc.collect()
    grown = resident() - before
    assert grown < 24 << 20, f"{grown / 1e6:.1f} MB more after 10,000 predictions"
    assert sys.getrefcount(image) == references


def test_many_loads_leave_nothing(model: Path) -> None:
    data = model.read_bytes()
    count = sys.getrefcount(data)

    def work(times: int) -> None:
        for _ in range(times):
            Detector.from_bytes(data)

    work(20)
    gc.collect()
    before = resident()
    work(200)
    gc.collect()
    grown = resident() - before
    assert grown < 32 << 20, f"{grown / 1e6:.1f} MB more after 200 loads"
    assert sys.getrefcount(data) == count


def test_a_map_outlives_everything_else(good: list[Path]) -> None:
    kept = Detector("statistical", size=(32, 32), folds=0).fit(good[:6]).predict(good[0]).map
    gc.collect()
    assert kept is not None and np.isfinite(kept).all() and kept.dtype == np.float32 and kept.ndim == 2
