"""A fit in shards: every shard a task, merged by number, calibrated on images that are in none."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import ray

from .. import __version__
from .._detector import Detector
from .._errors import BlemishError, BlemishWarning, FitError, InputError, ModelFileError
from ._cluster import started, workers_for
from ._plan import Plan, plan

WIDTH = 8
"""Neighbours that are merged at a time where states are large."""

_log = logging.getLogger("blemish")


class ShardError(FitError):
    """A shard that could not be fitted; the message names it and its files."""

    code = "cannot_fit"


def fit(
    images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | Plan,
    method: str = "patchcore",
    *,
    workers: int | None = None,
    threads: int = 1,
    shards: int | None = None,
    groups: Callable[[str], Hashable] | Sequence[Hashable] | None = None,
    work: str | os.PathLike[str] | None = None,
    calibration_share: float = 0.1,
    false_alarm: float = 0.01,
    max_retries: int = 3,
    skip_bad: bool = False,
    **options: Any,
) -> Detector:
    """Learns from good images on several machines; gives the detector that one machine could use.

    PaDiM gives what one fit would, up to rounding; PatchCore and FAPM a bank with the radius that `info["coverage"]` states.

    Args:
        images: A pattern, folder or list of files that every machine sees under the same paths; or a `Plan`.
        method: padim, patchcore or fapm.
        workers: Tasks at a time; by default as many as leave one CPU free.
        threads: CPUs of each.
        shards: Number of parts; by default one for 2,000 images of padim, 500 of the others. The result depends on it, and not on workers.
        groups: A function of the path or one value an image: images of a group stay together.
        work: Folder on storage that all machines share: models of shards are kept there, and a repeated call takes what is there.
        calibration_share: Share of images that thresholds come from, which are in no shard; 0 leaves thresholds out.
        false_alarm: Share of good images that may be flagged.
        max_retries: How often the shard of a lost worker is fitted again.
        skip_bad: Leaves broken images out, with a warning for each.
        **options: Further keywords of `Detector`.

    Raises:
        ShardError: A shard whose worker was lost too often, or whose images cannot be used.
        SettingError: A method that needs one machine, or more workers than the cluster bears.
    """
    if isinstance(images, Plan):
        if options or groups is not None or shards is not None:
            raise FitError("a plan has its options already", help="give them to plan()")
        planned = images
    else:
        planned = plan(images, method, shards=shards, groups=groups, calibration_share=calibration_share, **options)
    most = workers_for(workers, threads)
    parts = _fit_shards(planned, most, threads, None if work is None else os.fspath(work), max_retries, skip_bad)
    detector = _merge(planned, parts, threads)
    if planned.held_out:
        detector = _calibrate(planned, detector, most, threads, false_alarm, skip_bad)
    return detector


def _fit_shard(
    number: int, files: Sequence[str], method: str, options: dict[str, Any], threads: int, kept: str | None, skip_bad: bool
) -> tuple[Any, list[str], bool]:
    """The model of a shard, or where it is kept; what was left out; whether it was fitted now."""
    if kept is not None and os.path.exists(kept):
        try:
            Detector.load(kept, threads=threads)
            return kept, [], False
        except ModelFileError:
            _log.warning("the kept model of shard %d is damaged and fitted anew: %s", number, kept)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", BlemishWarning)
        detector = Detector(method, folds=0, threads=threads, **options).fit(list(files), updatable=True, skip_bad=skip_bad)
    words = [str(one.message) for one in told if issubclass(one.category, BlemishWarning)]
    if kept is not None:
        detector.save(kept)
        return kept, words, True
    return detector, words, True


def _fit_shards(planned: Plan, most: int, threads: int, work: str | None, max_retries: int, skip_bad: bool) -> list[Any]:
    """References or paths of the shards' models, by number."""
    if work is not None:
        os.makedirs(work, exist_ok=True)
    cluster = started()
    task = cluster.remote(_fit_shard).options(num_cpus=threads, max_retries=max_retries, num_returns=3, name="blemish fit shard")
    parts: list[Any] = [None] * len(planned.shards)
    running: dict[Any, tuple[int, Any, Any]] = {}
    waiting = list(enumerate(planned.shards))[::-1]
    fitted = 0
    while waiting or running:
        while waiting and len(running) < most:
            number, files = waiting.pop()
            kept = None if work is None else os.path.join(work, f"{_name(planned, files, skip_bad)}.blemish")
            model, told, is_new = task.remote(number, files, planned.method, planned.options, threads, kept, skip_bad)
            running[told] = (number, model, is_new)
        ready, _ = cluster.wait(list(running), num_returns=1)
        for told in ready:
            number, model, is_new = running.pop(told)
            for words in _got(told, number, planned):
                warnings.warn(words, BlemishWarning, stacklevel=4)
            fitted += bool(cluster.get(is_new))
            # Paths are read by who merges; models stay in the object store.
            parts[number] = model
    _log.info("fitted %d of %d shards, %d were there", fitted, len(parts), len(parts) - fitted)
    return parts


def _got(reference: Any, number: int, planned: Plan) -> Any:
    files = planned.shards[number]
    where = f"shard {number} of {len(planned.shards)} ({len(files)} files, {files[0]} to {files[-1]})"
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, BlemishError):
            made = ShardError(f"{where}: {cause.args[0] if cause.args else cause}", code=cause.code, help=cause.help)
            raise made from None
        raise
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError) as error:
        help = "look at its log, give it more memory or more shards, or raise max_retries"
        raise ShardError(f"{where}: its worker was lost every time ({type(error).__name__})", help=help) from None


def _name(planned: Plan, files: Sequence[str], skip_bad: bool) -> str:
    """A name for the model of a shard by all that it follows from: files with sizes and times, method, options, version."""
    digest = hashlib.sha256()
    for path in files:
        try:
            state = os.stat(path)
        except OSError as error:
            told = f"`{path}` was there when the fit was planned, and cannot be read now ({error.strerror})"
            raise InputError(told, code="image_unreadable", help="bring it back, or plan anew") from None
        digest.update(f"{path}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    options = json.dumps(planned.options, sort_keys=True, default=str)
    digest.update(f"{planned.method}\0{options}\0{__version__}\0{skip_bad}".encode())
    return digest.hexdigest()[:32]


def _taken(part: Any, threads: int) -> Detector:
    """The model of a shard: in the object store, or in a file."""
    found = ray.get(part) if isinstance(part, ray.ObjectRef) else part
    return Detector.load(found, threads=threads) if isinstance(found, str) else found


def _merge_flat(parts: list[Any], threads: int) -> Detector:
    """All at once: every further level would add to the covering radius."""
    return Detector.merge([_taken(part, threads) for part in parts])


def _merge_chain(parts: list[Any], threads: int) -> Detector:
    """One after another: two states are in memory at a time."""
    merged = _taken(parts[0], threads)
    for part in parts[1:]:
        merged = Detector.merge([merged, _taken(part, threads)])
    return merged


def _merge(planned: Plan, parts: list[Any], threads: int) -> Detector:
    """One model, by the numbers of shards, wherever they were fitted."""
    cluster = started()
    # Lists keep references from being fetched before the task asks for them.
    if planned.method != "padim":
        task = cluster.remote(_merge_flat).options(num_cpus=threads, name="blemish merge")
        return _merged(task.remote(parts, threads))
    task = cluster.remote(_merge_chain).options(num_cpus=threads, name="blemish merge")
    while len(parts) > 1:
        parts = [task.remote(parts[at : at + WIDTH], threads) for at in range(0, len(parts), WIDTH)]
    return _merged(parts[0] if len(planned.shards) > 1 else task.remote(parts, threads))


def _merged(reference: Any) -> Detector:
    try:
        detector: Detector = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, BlemishError):
            raise error.cause from None
        raise
    return detector


def _extremes(files: Sequence[str], detector: Detector, threads: int, skip_bad: bool) -> tuple[list[float], list[float], list[str]]:
    """Scores and map maxima of images, and what could not be used."""
    results = detector._on(threads).predict(list(files), skip_bad=skip_bad)
    fine = [one for one in results if one.error is None]
    broken = [f"left out `{one.path}`: {one.error}" for one in results if one.error is not None]
    return [one.score for one in fine], [float(one.map.max()) for one in fine], broken


def _calibrate(planned: Plan, detector: Detector, most: int, threads: int, false_alarm: float, skip_bad: bool) -> Detector:
    """Thresholds from held-out images, scored in parallel by the merged model."""
    cluster = started()
    model = cluster.put(detector)
    task = cluster.remote(_extremes).options(num_cpus=threads, name="blemish calibrate")
    step = max(1, min(200, -(-len(planned.held_out) // most)))
    pieces = [planned.held_out[at : at + step] for at in range(0, len(planned.held_out), step)]
    waiting = list(pieces)
    running: list[Any] = []
    scores: list[float] = []
    maxima: list[float] = []
    while waiting or running:
        while waiting and len(running) < most:
            running.append(task.remote(waiting.pop(0), model, threads, skip_bad))
        try:
            some, highest, broken = cluster.get(running.pop(0))
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, BlemishError):
                raise error.cause from None
            raise
        scores += some
        maxima += highest
        for words in broken:
            warnings.warn(words, BlemishWarning, stacklevel=3)
    groups = planned.held_out_groups if planned.held_out_groups < len(planned.held_out) else None
    return detector._with(detector._fitted.calibrate_by(scores, maxima, groups, false_alarm))
