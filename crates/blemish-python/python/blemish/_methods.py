"""The methods and their settings, as the library itself describes them."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from . import _native
from ._errors import SettingError


@dataclass(frozen=True)
class Setting:
    """A setting of a method."""

    name: str
    """Its name, a keyword of `Detector`."""
    default: Any
    """Its value when nothing is said; `None` means that it follows from other settings."""
    allowed: str
    """Range or choices in words; empty where anything of the type is allowed."""
    meaning: str
    """What it is and does."""


@dataclass(frozen=True)
class MethodInfo:
    """A method: its idea, when to pick it, and its settings."""

    name: str
    """Its name, the first argument of `Detector`."""
    family: str
    """What it rests on."""
    summary: str
    """The idea in one line."""
    advice: str
    """When to pick it and when not."""
    citation: str
    """The paper."""
    abilities: tuple[str, ...]
    """What only some methods' models can do after the fit: `update`, `merge`, `export`."""
    no_export: str | None
    """Why its models have no ONNX graph; `None` if they have one."""
    settings: tuple[Setting, ...]
    """Its settings."""
    presets: Mapping[str, Mapping[str, Any]]
    """All settings of each preset, by name; empty for most."""


@cache
def _all() -> tuple[MethodInfo, ...]:
    def of(described: dict[str, Any]) -> MethodInfo:
        settings = tuple(Setting(**one) for one in described.pop("settings"))
        return MethodInfo(settings=settings, abilities=tuple(described.pop("abilities")), **described)

    return tuple(of(one) for one in _native.methods())


def methods() -> list[MethodInfo]:
    """Every method, the default first.

    >>> "coreset_ratio" in [setting.name for setting in methods()[0].settings]
    True
    """
    return list(_all())


def nearest(word: str, known: list[str]) -> str:
    """A remark that names the word most like this one, or nothing."""
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean `{found[0]}`? " if found else ""


def settings_as_json(method: str, settings: Mapping[str, Any]) -> str:
    """The settings as the library takes them; names that the method does not have are refused with the nearest that it has."""
    info = next((one for one in _all() if one.name == method), None)
    if info is None:
        known = [one.name for one in _all()]
        help = f"{nearest(method, known)}there are: {', '.join(known)}"
        raise SettingError(f"there is no method `{method}`", code="unknown_method", help=help)
    known = [one.name for one in info.settings]
    for name in settings:
        if name not in known:
            options = ["backbone", "weights", "layers", "ensemble", "backbone_precision", "size", "crop", "roi", "tile", "input_sizes", "seed", "folds", "threads"]
            help = f"{nearest(name, known + options)}{method} has: {', '.join(known) or 'none'}"
            raise SettingError(f"`{name}` is no option of Detector and no setting of {method}", help=help)
    return json.dumps({name: _plain(name, value) for name, value in settings.items()})


def _plain(name: str, value: Any) -> Any:
    """A value as JSON knows it; numbers of NumPy are numbers."""
    if hasattr(value, "item") and not hasattr(value, "__len__"):
        value = value.item()
    if isinstance(value, (list, tuple)):
        return [_plain(name, one) for one in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and value == value and abs(value) != float("inf"):
        return value
    raise SettingError(f"setting `{name}`: {value!r} is no plain value", help="give a finite number, text, True, False, None, or a list of these")
