"""What users write, for mypy --strict. It is checked and never run."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import blemish
from blemish import Detector, Progress, Result


def learn(folder: Path) -> Detector:
    def told(progress: Progress) -> None:
        print(progress.stage, progress.done, progress.total)

    detector = Detector("patchcore", size=(256, 256), false_alarm=0.02, coreset_ratio=0.05).fit(folder, progress=told)
    detector.save("part.blemish")
    return detector


def look(detector: Detector, frame: NDArray[np.uint8]) -> Result:
    result: Result = detector.predict(frame, channels="bgr")
    if result.anomalous:
        for region in result.regions:
            print(region.box.x, region.box.y, region.peak.score)
    drawn: NDArray[np.uint8] = result.overlay(frame, channels="bgr")
    print(drawn.shape)
    return result


def stream(detector: Detector, frames: Iterator[NDArray[np.uint8]]) -> Iterator[float]:
    for result in detector.iter_predict(frames, maps=False):
        yield result.score


def keep_current(path: Path, fresh: list[Path]) -> None:
    detector = Detector.load(path, threads=2)
    try:
        better: Detector = detector.update(fresh).calibrate(good=fresh, false_alarm=0.05)
    except blemish.FitError as error:
        print(error.code, error.help)
        return
    scores: NDArray[np.float32] = better.score(fresh)
    calibration = better.calibration
    if calibration is not None and better.verify().passed:
        print(calibration.promise, scores.max())
