"""What can go wrong, one class for each kind of mend."""

import sys
from typing import Any


class BlemishWarning(UserWarning):
    """Something that a user should know and that does not stop the work."""


class BlemishError(Exception):
    """What went wrong and where; `help` says how to mend it, `code` is a stable name for programs."""

    code: str = "unknown"
    help: str = ""

    def __init__(self, message: str = "", *, code: str | None = None, help: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        if help is not None:
            self.help = help

    def __str__(self) -> str:
        message = str(self.args[0]) if self.args else ""
        return f"{message}; {self.help}" if self.help else message

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.args, self.code, self.help))


class InputError(BlemishError, ValueError):
    """An image or data set that cannot be used."""

    code = "pixels"


class ModelFileError(BlemishError, OSError):
    """A file, above all a model, that cannot be read or written, or is none."""

    code = "io"


class SettingError(BlemishError, TypeError):
    """An option, a setting or a name that there is not, or a value that is not allowed."""

    code = "setting"


class FitError(BlemishError):
    """A fit, a training, an update or a merge that these images or models do not allow."""

    code = "cannot_fit"


class NotFittedError(BlemishError, AttributeError):
    """A detector that has not learnt yet."""

    code = "not_fitted"


class NotCalibratedError(BlemishError):
    """A decision is asked for, and there is no threshold; `help` says how many images one needs."""

    code = "not_calibrated"


class InternalError(BlemishError):
    """A fault of Blemish itself. Interpreter and detector stay usable."""

    code = "internal"


_BY_CODE: dict[str, type[BlemishError]] = {
    "io": ModelFileError,
    "cannot_fit": FitError,
    "cannot_train": FitError,
    "cannot_update": FitError,
    "cannot_pick": FitError,
    "not_calibrated": NotCalibratedError,
    "undefined_metric": InputError,
    "internal": InternalError,
}
_BY_CLASS: dict[str, type[BlemishError]] = {
    "input": InputError,
    "model": ModelFileError,
    "usage": SettingError,
    "internal": InternalError,
}


def error_of(code: str, kind: str, text: str) -> BlemishError:
    """The exception for a code, the class that it belongs to, and a text of the form "what and where; how to mend it"."""
    made = _BY_CODE.get(code) or _BY_CLASS.get(kind) or BlemishError
    message, _, help = text.partition("; ")
    return made(message, code=code, help=help)


def not_fitted(what: str) -> NotFittedError:
    """The exception for a detector that has not learnt; where scikit-learn is loaded, one of its own as well."""
    message, help = f"this {what} is not fitted", "call fit with good images first"
    theirs = getattr(sys.modules.get("sklearn.exceptions"), "NotFittedError", None)
    if theirs is None:
        return NotFittedError(message, help=help)
    both: type[NotFittedError] = type("NotFittedError", (NotFittedError, theirs), {"__doc__": NotFittedError.__doc__, "__module__": __name__})
    return both(message, help=help)


def _rebuild(made: type[BlemishError], args: tuple[Any, ...], code: str, help: str) -> BlemishError:
    error = made(*args, code=code, help=help)
    return error
