"""An archive scored by actors that keep their model for life."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import ray

from .. import __version__
from .._detector import Detector
from .._errors import InputError
from ._cluster import started, workers_for
from ._plan import find

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("score", pa.float32()),
        ("p_value", pa.float64()),
        ("threshold", pa.float32()),
        ("anomalous", pa.bool_()),
        ("regions", pa.string()),
        ("map", pa.string()),
        ("version", pa.string()),
        ("error", pa.string()),
    ]
)
"""Columns of the scores: regions are JSON, `version` is that of Blemish, `error` says why an image could not be used."""


def score(
    images: Any,
    detector: Detector | str | os.PathLike[str] | bytes | Any,
    *,
    workers: int | None = None,
    threads: int = 1,
    batch_size: int = 32,
    min_area: float = 0.0,
    maps: str | os.PathLike[str] | None = None,
    fail_on_bad: bool = False,
) -> Any:
    """Scores images on several machines: a `ray.data.Dataset` with the columns of `SCHEMA`, a row an image.

    Args:
        images: A pattern, folder or list of files that every machine sees; or a `ray.data.Dataset` with a column `path`, `bytes` or `image`.
        detector: A detector, the path of its file on storage that all machines share, the bytes of such a file, or what `ray.put` gave for one of these.
        workers: Actors; by default as many as leave one CPU free.
        threads: CPUs of each.
        batch_size: Images of a batch.
        min_area: Leaves out regions of fewer pixels.
        maps: Folder that all machines share for the anomaly maps (.npy); maps never go through the object store.
        fail_on_bad: Stops at the first image that cannot be used, with its path; else it is a row with `error`.

    Raises:
        SettingError: More workers than leave a CPU for the tasks that read images.
        InputError: No images.
    """
    cluster = started()
    import ray.data as data

    most = workers_for(workers, threads)
    if isinstance(images, data.Dataset):
        dataset = images
    else:
        files = find(images)
        if not files:
            raise InputError("there are no images to score", code="dataset", help="name files, a folder or a pattern")
        dataset = _read(data, files)
    if maps is not None:
        os.makedirs(maps, exist_ok=True)
    if isinstance(detector, (bytes, bytearray, memoryview)):
        detector = Detector.from_bytes(detector)
    if isinstance(detector, Detector):
        detector = cluster.put(detector)
    model = os.fspath(detector) if isinstance(detector, (str, os.PathLike)) else detector
    arguments = {
        "model": model if isinstance(model, str) else [model],
        "threads": threads,
        "min_area": min_area,
        "maps": None if maps is None else os.path.abspath(os.fspath(maps)),
        "fail_on_bad": fail_on_bad,
    }
    return dataset.map_batches(
        Scorer,
        fn_constructor_kwargs=arguments,
        compute=data.ActorPoolStrategy(min_size=1, max_size=most),
        num_cpus=threads,
        batch_size=batch_size,
        batch_format="numpy",
    )


def _read(data: Any, files: list[str]) -> Any:
    """Paths and bytes of files; an empty file is one, too."""
    return data.from_items([{"path": path} for path in files], override_num_blocks=max(1, min(len(files) // 32, 1000))).map_batches(
        _bytes_of, batch_size=32, batch_format="numpy"
    )


def _bytes_of(batch: dict[str, Any]) -> Any:
    """The files' bytes; why one cannot be read stands in its place."""
    content: list[bytes | None] = []
    faults: list[str | None] = []
    for path in batch["path"]:
        try:
            content.append(Path(str(path)).read_bytes())
            faults.append(None)
        except OSError as error:
            content.append(None)
            faults.append(f"it cannot be read ({error.strerror}); check that the file exists and may be read")
    return pa.table(
        {"path": pa.array([str(path) for path in batch["path"]], pa.string()), "bytes": pa.array(content, pa.large_binary()), "fault": pa.array(faults, pa.string())}
    )


class Scorer:
    """An actor: loads the model once, then turns batches of images into rows of scores."""

    def __init__(self, model: str | list[Any], threads: int = 1, min_area: float = 0.0, maps: str | None = None, fail_on_bad: bool = False) -> None:
        # In a list, so that it is not fetched for every actor beforehand; its bytes stay where the machine keeps them once.
        kept = model if isinstance(model, str) else model[0]
        self._detector = _detector(ray.get(kept) if isinstance(kept, ray.ObjectRef) else kept, threads)
        self._min_area = min_area
        self._maps = maps
        self._fail_on_bad = fail_on_bad

    def __call__(self, batch: dict[str, Any]) -> Any:
        """A table of `SCHEMA` for the images of a batch, in their order."""
        images, paths, faults = _images(batch)
        usable = [at for at, fault in enumerate(faults) if fault is None]
        told = self._detector.predict(
            [images[at] for at in usable], maps=self._maps is not None, min_area=self._min_area, skip_bad=True, batch_size=8
        )
        results: dict[int, Any] = dict(zip(usable, told, strict=True))
        rows = [self._row(paths[at], results.get(at), faults[at]) for at in range(len(images))]
        return pa.Table.from_pylist(rows, schema=SCHEMA)

    def _row(self, path: str | None, result: Any, fault: str | None) -> dict[str, Any]:
        error = fault if result is None else result.error
        if error is not None:
            if self._fail_on_bad:
                raise InputError(f"cannot use image `{path}`: {error}", code="image_unreadable", help="mend it, or leave fail_on_bad out")
            return {"path": path, "error": error, "version": __version__}
        said = result.to_dict()
        return {
            "path": path,
            "score": result.score,
            "p_value": result.p_value,
            "threshold": result.threshold,
            "anomalous": result.anomalous,
            "regions": json.dumps(said["regions"]) if "regions" in said else None,
            "map": None if self._maps is None else _keep(self._maps, path, result.map),
            "version": __version__,
        }


def _detector(given: Any, threads: int) -> Detector:
    """The detector that was given as itself, its bytes or the path of its file."""
    if isinstance(given, Detector):
        return given._on(threads)
    return Detector.load(given, threads=threads) if isinstance(given, (str, os.PathLike)) else Detector.from_bytes(given, threads=threads)


def _images(batch: dict[str, Any]) -> tuple[list[Any], list[str | None], list[str | None]]:
    """Images of a batch as `Detector.predict` takes them, their paths, and why some cannot be used."""
    column = next((name for name in ("bytes", "image", "path") if name in batch), None)
    if column is None:
        raise InputError(f"the data set has the columns {', '.join(batch)}", help="give one of: path, bytes, image")
    images: list[Any] = [bytes(one) if column == "bytes" and one is not None else (str(one) if column == "path" else one) for one in batch[column]]
    paths: list[str | None] = [str(one) for one in batch["path"]] if "path" in batch else [None] * len(images)
    faults: list[str | None] = [None if one is None or one != one else str(one) for one in batch["fault"]] if "fault" in batch else [None] * len(images)
    return images, paths, faults


def _keep(folder: str, path: str | None, values: Any) -> str:
    """Writes a map under a name that follows from the image's path, whole or not at all; gives the file."""
    name = hashlib.sha256(str(path).encode() if path is not None else values.tobytes()).hexdigest()[:24]
    target = os.path.join(folder, f"{name}.npy")
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".unfinished", delete=False) as file:
        np.save(file, values)
    os.replace(file.name, target)
    return target
