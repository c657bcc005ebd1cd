"""How long work tells what it does."""

import logging
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ._errors import BlemishWarning

_log = logging.getLogger("blemish")


@dataclass(frozen=True)
class Progress:
    """How work stands."""

    stage: str
    """What is being done."""
    done: int
    """Steps of this stage that are done."""
    total: int | None
    """Its number of steps, where that is known."""
    status: str
    """How it stands in a few words, such as a loss; often empty."""


Listener: TypeAlias = Callable[[Progress], None] | bool | None


class Reporter:
    """Hears the work ten times a second: warnings become Python's, stages go to the log, progress to who asked for it.

    What it raises cancels the work and reaches the caller as it is.
    """

    def __init__(self, progress: Listener = None, level: int = 3) -> None:
        self._tell: Callable[[Progress], None] | None = None
        self._bar: _Bar | None = None
        self._level = level
        self._stage = ""
        if progress is True:
            self._bar = _Bar()
            self._tell = self._bar
        elif callable(progress):
            self._tell = progress

    def __call__(self, stage: str, done: int, total: int | None, status: str, told: list[str], is_end: bool) -> None:
        if stage != self._stage:
            self._stage = stage
            _log.debug("%s", stage)
        for message in told:
            _log.info("%s", message)
            warnings.warn(message, BlemishWarning, stacklevel=self._level)
        if self._tell is not None and stage:
            self._tell(Progress(stage, done, total, status))
        if is_end and self._bar is not None:
            self._bar.close()


class _Bar:
    """A plain bar on standard error; tqdm's, if it is installed."""

    def __init__(self) -> None:
        self._stage = ""
        self._tqdm: Any = None
        self._bar: Any = None
        try:
            from tqdm.auto import tqdm  # type: ignore[import-untyped,unused-ignore]

            self._tqdm = tqdm
        except ImportError:
            pass

    def __call__(self, progress: Progress) -> None:
        if self._tqdm is None:
            of = f" {progress.done}/{progress.total}" if progress.total else ""
            sys.stderr.write(f"\r\033[K{progress.stage}{of} {progress.status}")
            sys.stderr.flush()
            return
        if progress.stage != self._stage:
            self.close()
            self._stage = progress.stage
            self._bar = self._tqdm(total=progress.total, desc=progress.stage)
        self._bar.n = progress.done
        self._bar.set_postfix_str(progress.status, refresh=False)
        self._bar.refresh()

    def close(self) -> None:
        """Ends the line."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        elif self._tqdm is None:
            sys.stderr.write("\n")
