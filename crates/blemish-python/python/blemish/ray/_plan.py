"""Which images are fitted where: by names and numbers alone, never by the cluster."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .. import _native
from .._detector import Detector
from .._errors import InputError, SettingError

METHODS = {"padim": 2_000, "patchcore": 500, "fapm": 500}
"""Methods whose models can be fitted in shards, and images of a shard by default."""


@dataclass(frozen=True)
class Plan:
    """Shards and held-out images."""

    method: str
    """The method."""
    options: dict[str, Any]
    """Keywords of `Detector` for every shard."""
    shards: tuple[tuple[str, ...], ...]
    """The files of every shard, in the order of their paths."""
    held_out: tuple[str, ...]
    """The files that thresholds come from; in no shard."""
    held_out_groups: int
    """How many groups of them count."""
    digest: str
    """SHA-256 of the names, in hexadecimal."""


def plan(
    images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    method: str = "patchcore",
    *,
    shards: int | None = None,
    groups: Callable[[str], Hashable] | Sequence[Hashable] | None = None,
    calibration_share: float = 0.1,
    **options: Any,
) -> Plan:
    """Cuts images into shards.

    Paths are sorted and cut into contiguous shards by a rule of their number and `shards` alone; groups are never torn. Held-out images are
    drawn by a hash of their path below the folder that all share, those of a group together.

    Raises:
        SettingError: A method whose models cannot be merged, or an option that there is not.
        InputError: No images, or too few for so many shards.
    """
    if method not in METHODS:
        reason = "its model is no summary that could be joined" if method not in _trained() else "its training has gradients, which are no summary"
        raise SettingError(f"{method} is fitted on one machine: {reason}", help=f"use a GPU on one machine, or one of: {', '.join(METHODS)}")
    if not 0.0 <= calibration_share < 1.0:
        raise SettingError(f"calibration_share={calibration_share!r} is no share", help="allowed: 0 to below 1")
    given = find(images)
    if not given:
        raise InputError("there are no training images", code="dataset", help="name files, a folder or a pattern")
    told = _groups(given, groups)
    order = sorted(given)
    below = os.path.commonpath([os.path.dirname(path) for path in order])
    names = [os.path.relpath(path, below).replace(os.sep, "/") for path in order]
    # Groups in the order of their first image; an image without one is its own.
    units: dict[Hashable, list[int]] = {}
    for at, path in enumerate(order):
        units.setdefault(("group", told[path]) if told is not None else ("image", at), []).append(at)
    learnt: list[list[int]] = []
    held: list[list[int]] = []
    for members in units.values():
        drawn = int.from_bytes(hashlib.sha256(names[members[0]].encode()).digest()[:8]) / 2.0**64
        (held if drawn < calibration_share else learnt).append(members)
    if not learnt:
        raise InputError("all images are held out", help="bring more images, or lower calibration_share")
    count = sum(map(len, learnt))
    number = shards if shards is not None else -(-count // METHODS[method])
    if not 1 <= number <= len(learnt):
        kind = "images" if told is None else "groups"
        raise InputError(f"{number} shards cannot be cut from {len(learnt)} {kind}", help=f"allowed: 1 to {len(learnt)}")
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
    options = _settled(method, options, [order[at] for unit in learnt for at in unit], number)
    cut = tuple(tuple(sorted(order[at] for unit in part for at in unit)) for part in _cut(learnt, number))
    return Plan(method, options, cut, tuple(sorted(order[at] for unit in held for at in unit)), len(held), digest)


def find(images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str]:
    """Absolute paths of the files that a folder, a pattern (`**` is any depth) or a list names."""
    if isinstance(images, (str, os.PathLike)):
        path = os.fspath(images)
        if os.path.isdir(path):
            path = os.path.join(glob.escape(path), "**", "*")
        listed = sorted(glob.glob(path, recursive=True)) if glob.has_magic(path) else [path]
        listed = [one for one in listed if not os.path.isdir(one)]
    else:
        listed = [os.fspath(one) for one in images]
    return list(dict.fromkeys(os.path.abspath(one) for one in listed))


def _groups(paths: list[str], groups: Callable[[str], Hashable] | Sequence[Hashable] | None) -> dict[str, Hashable] | None:
    if groups is None:
        return None
    if callable(groups):
        return {path: groups(path) for path in paths}
    if len(groups) != len(paths):
        raise InputError(f"there are {len(paths)} images and {len(groups)} groups", help="give one group an image, or a function of its path")
    return dict(zip(paths, groups, strict=True))


def _cut(units: list[list[int]], number: int) -> list[list[list[int]]]:
    """Contiguous parts of units, none empty, as equal in images as whole units allow."""
    count = sum(map(len, units))
    parts: list[list[list[int]]] = [[]]
    before = 0
    for at, unit in enumerate(units):
        is_full = before * number >= len(parts) * count
        must = len(units) - at <= number - len(parts)
        if parts[-1] and len(parts) < number and (is_full or must):
            parts.append([])
        parts[-1].append(unit)
        before += len(unit)
    return parts


def _settled(method: str, options: dict[str, Any], learnt: list[str], number: int) -> dict[str, Any]:
    """The options with every choice made that shards would else make for themselves."""
    for name in ("folds", "updatable", "threads"):
        if name in options:
            raise SettingError(f"{name} is set by the fit in shards", help="leave it out; `threads` of a worker is an argument of fit")
    settled = dict(options)
    if method == "patchcore":
        settled.setdefault("shards", number)
    probe = Detector(method, folds=0, **settled)
    if not any(settled.get(name) for name in ("size", "crop", "tile", "input_sizes")):
        images = _native.Images()
        for path in learnt:
            images.add_file(path)
        configuration = probe._configuration
        assert configuration is not None, "a detector that is not loaded has one"
        sizes = _native.choose_sizes(configuration, images, True)
        if sizes:
            settled["input_sizes"] = tuple(sizes)
    return settled


def _trained() -> set[str]:
    from .._methods import methods

    return {one.name for one in methods() if any(setting.name in ("steps", "epochs") for setting in one.settings)}
