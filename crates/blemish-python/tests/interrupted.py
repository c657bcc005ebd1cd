"""A training that its parent stops: run by `test_interrupt.py` with the name of a checkpoint (or nothing) and `whole`, `stop` or `resume`."""

import sys

import numpy as np

from blemish import Detector, Progress


def main() -> None:
    checkpoint, mode = sys.argv[1], sys.argv[2]
    images = [np.random.default_rng(number).integers(0, 255, (64, 64, 3), np.uint8) for number in range(8)]
    detector = Detector("fastflow", size=(64, 64), folds=0, steps=150, batch=4, seed=1)

    def told(progress: Progress) -> None:
        if progress.done > 0 and progress.total == 150:
            print("training", flush=True)

    detector.fit(images, checkpoint=checkpoint or None, resume=mode == "resume", progress=told)
    print("identity", detector.identity, flush=True)


if __name__ == "__main__":
    main()
