"""Threads, processes and forks: nothing hangs, nothing is misread, scores are equal."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blemish import Detector

LIMIT = 60


def score(detector: Detector, images: Any) -> list[float]:
    return [float(one) for one in detector.score(images)]


def pixels(count: int, side: int = 64) -> list[np.ndarray[Any, Any]]:
    random = np.random.default_rng(1)
    return [random.integers(0, 255, (side, side, 3), np.uint8) for _ in range(count)]


def test_other_threads_go_on_while_it_works(detector: Detector) -> None:
    images, counted, done = pixels(200), 0, threading.Event()

    def count() -> None:
        nonlocal counted
        while not done.is_set():
            counted += 1
            time.sleep(0.001)

    counter = threading.Thread(target=count)
    counter.start()
    started = time.perf_counter()
    detector.score(images)
    seconds = time.perf_counter() - started
    done.set()
    counter.join()
    assert counted > 100 * seconds, (counted, seconds)


def test_threads_share_a_detector(detector: Detector) -> None:
    images = pixels(16)
    expected = score(detector, images)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for told in pool.map(lambda _: score(detector, images), range(16)):
            assert told == expected


def test_the_input_is_copied_before_anyone_can_change_it(detector: Detector) -> None:
    image = np.random.default_rng(2).integers(0, 255, (2000, 3000, 3), np.uint8)
    expected = detector.predict(image.copy()).score
    began = threading.Event()

    def overwrite() -> None:
        began.wait()
        # The call has begun once the interpreter is free again.
        image[:] = 0

    writer = threading.Thread(target=overwrite)
    writer.start()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1.0)
    try:
        began.set()
        told = detector.predict(image).score
    finally:
        sys.setswitchinterval(interval)
    writer.join()
    assert not image.any() and told == expected


def child(detector: Detector, images: Any, queue: Any) -> None:
    queue.put(score(detector, images))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes(detector: Detector, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system does not {method}")
    images = pixels(3)
    expected = score(detector, images)
    context: Any = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=child, args=(detector, images, queue))
    process.start()
    try:
        assert queue.get(timeout=LIMIT) == expected
        process.join(LIMIT)
        assert process.exitcode == 0
    finally:
        if process.is_alive():
            process.kill()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_between_fit_and_predict_and_back(good: list[Path], new: list[Path]) -> None:
    detector = Detector(size=(64, 64), folds=0).fit(good[:6])
    expected = score(detector, new)
    for _ in range(3):
        reader, writer = os.pipe()
        number = os.fork()
        if number == 0:
            code = 1
            try:
                own = Detector(size=(64, 64), folds=0).fit(good[:6])
                fine = score(detector, new) == expected and own.identity == detector.identity
                os.write(writer, b"1" if fine else b"0")
                code = 0
            finally:
                os._exit(code)
        os.close(writer)
        waited = time.monotonic() + LIMIT
        while (ended := os.waitpid(number, os.WNOHANG))[0] == 0:
            if time.monotonic() > waited:
                os.kill(number, 9)
                os.waitpid(number, 0)
                pytest.fail("the child hangs")
            time.sleep(0.02)
        assert ended[1] == 0 and os.read(reader, 1) == b"1"
        os.close(reader)
        assert score(detector, new) == expected


def test_joblib_and_executors(detector: Detector) -> None:
    images = pixels(4)
    expected = score(detector, images)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        asked = [pool.submit(score, detector, images) for _ in range(3)]
        assert [one.result(LIMIT) for one in asked] == [expected] * 3
    joblib = pytest.importorskip("joblib", reason="joblib is not here")
    for backend in ("loky", "threading"):
        told = joblib.Parallel(2, backend=backend, timeout=LIMIT)(joblib.delayed(score)(detector, images) for _ in range(3))
        assert told == [expected] * 3, backend
