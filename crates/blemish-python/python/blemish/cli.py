"""The program `blemish`, which this package also installs as a script."""

import os
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from typing import NoReturn

from . import _native


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the program with these arguments, by default those of the process, and ends the process with its exit code.

    Once a process: it sets up logging, Ctrl-C and threads for all of it.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(_native.run_program(["blemish", *given], _script()))


def _script() -> str | None:
    """The file that runs the program again, for commands that start it as a process of its own."""
    started = shutil.which(sys.argv[0]) if sys.argv and os.path.basename(sys.argv[0]).startswith("blemish") else None
    return started or shutil.which("blemish", path=sysconfig.get_path("scripts"))
