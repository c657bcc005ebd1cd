"""The detector: from good images to results."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from pickle import PickleBuffer
from typing import TYPE_CHECKING, Any, TypeAlias

from . import _native
from ._errors import BlemishError, BlemishWarning, FitError, InputError, ModelFileError, NotCalibratedError, SettingError, not_fitted
from ._images import Gathered, ImageLike, Images, as_array, as_path, gather
from ._methods import settings_as_json
from ._progress import Listener, Reporter
from ._result import Calibration, Metrics, Result, Verification, calibration_of, metrics_of, result_of, verification_of

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray
    from typing import Self

    from typing_extensions import Buffer

PathLike: TypeAlias = str | os.PathLike[str]
Labelled: TypeAlias = PathLike | tuple[Images, Sequence[bool]]


class Detector:
    """Learns what good images look like, scores new ones and shows where they differ.

    Args:
        method: A name of `blemish.methods()`.
        backbone: Architecture, or an ONNX file of your own; the embedded one by default.
        weights: Weight file of the backbone.
        layers: Feature maps to use, shallow to deep.
        ensemble: Further backbones, `NAME` or `NAME:FILE`; maps and scores are averaged.
        backbone_precision: `"single"`; `"int8"`, bytes, faster on a CPU; `"auto"`, bytes where they cost little.
        size: Input size as (height, width), one number for the shorter side, or `"native"`; by default the images and the method choose.
        crop: Centre crop after resizing, (height, width).
        roi: Mask of where to look: a path or an array; stretched over every image.
        tile: Cuts images into tiles of (height, width).
        input_sizes: Shorter sides whose maps are merged.
        value_range: Values that mean black and white in 16-bit and float images.
        seed: Fixes every random choice.
        folds: Folds of the calibration; 0 leaves it out.
        false_alarm: Share of good images that may be flagged.
        engine: `auto`, `native`, `rten`, `ort` or `burn`.
        device: `auto`, `cpu`, or a GPU such as `cuda:0` where the build has it.
        threads: CPU threads of each call; all by default.
        **settings: Settings of the method; `blemish methods NAME` and `blemish.methods()` list them.

    Raises:
        SettingError: An unknown method or setting, or a value that is not allowed. It is a `TypeError`.
    """

    def __init__(
        self,
        method: str = "patchcore",
        *,
        backbone: PathLike | None = None,
        weights: PathLike | None = None,
        layers: Sequence[str] | None = None,
        ensemble: Sequence[str] = (),
        backbone_precision: str = "single",
        size: tuple[int, int] | int | str | None = None,
        crop: tuple[int, int] | None = None,
        roi: ImageLike | None = None,
        tile: tuple[int, int] | None = None,
        input_sizes: Sequence[int] = (),
        value_range: tuple[float, float] | None = None,
        seed: int = 0,
        folds: int = 5,
        false_alarm: float = 0.01,
        engine: str = "auto",
        device: str = "auto",
        threads: int | None = None,
        **settings: Any,
    ) -> None:
        mask = None if roi is None or isinstance(roi, (str, os.PathLike)) else as_array(roi).copy()
        configuration = {
            "method": method,
            "settings": settings_as_json(method, settings),
            "backbone": None if backbone is None else os.fspath(backbone),
            "weights": None if weights is None else as_path(weights),
            "layers": list(layers or ()),
            "ensemble": list(ensemble),
            "backbone_precision": backbone_precision,
            "size": _pair(size) if isinstance(size, (list, tuple)) else size,
            "crop": _pair(crop),
            "tile": _pair(tile),
            "input_sizes": list(input_sizes),
            "value_range": None if value_range is None else tuple(value_range),
            "roi": as_path(roi) if isinstance(roi, (str, os.PathLike)) else None,
            "seed": seed,
            "folds": folds,
            "false_alarm": false_alarm,
        }
        if not 0.0 < false_alarm < 1.0:
            raise SettingError(f"false_alarm={false_alarm!r} is no rate", help="allowed: above 0 and below 1, such as 0.01")
        if threads is not None and threads < 1:
            raise SettingError(f"threads={threads!r} is no number of threads", help="allowed: 1 and more, or None for all")
        try:
            _native.check(configuration, engine, device)
        except TypeError as error:
            raise _as_setting(error) from None
        self._take(None, configuration, mask, settings, (engine, device, threads))

    def _take(
        self,
        model: _native.Model | None,
        configuration: dict[str, Any] | None,
        mask: NDArray[Any] | None,
        given: dict[str, Any] | None,
        engine: tuple[str, str, int | None],
    ) -> None:
        self._model = model
        self._configuration = configuration
        self._mask = mask
        self._given = given
        self._engine = engine

    def _with(self, model: _native.Model) -> Self:
        other = type(self).__new__(type(self))
        other._take(model, self._configuration, self._mask, self._given, model.engine)
        return other

    def _on(self, threads: int) -> Self:
        """The same detector with so many threads; both share the tensors."""
        engine, device, _ = self._engine
        return self._with(self._fitted.reopened(engine, device, threads))

    @property
    def _fitted(self) -> _native.Model:
        if self._model is None:
            raise not_fitted("detector")
        return self._model

    # Learning.

    def fit(
        self,
        images: Images,
        *,
        groups: Sequence[Hashable] | None = None,
        updatable: bool = False,
        skip_bad: bool = False,
        memory_limit: int | None = None,
        checkpoint: PathLike | None = None,
        resume: bool = False,
        time_limit: float | None = None,
        batch_size: int = 8,
        channels: str = "rgb",
        progress: Listener = None,
    ) -> Self:
        """Learns from good images and sets the thresholds; gives the detector itself.

        Args:
            images: A folder or data set, a pattern, a list of images, or an array of four dimensions.
            groups: What each image shares with others (the part, the shot): such images are left out together by the calibration.
            updatable: Lets the model learn on later, where the method can.
            skip_bad: Leaves broken images out, with a warning for each, instead of failing.
            memory_limit: Bytes for what is collected; the rest goes to a temporary file.
            checkpoint: Keeps the progress of a training in files of this name while it runs.
            resume: Goes on from the checkpoint, if there is one.
            time_limit: Ends a training after so many seconds, with a usable model.
            batch_size: Images (or tiles) per batch.
            channels: `"bgr"` for arrays from OpenCV.
            progress: Called with a `Progress` at most ten times a second; `True` draws a bar.

        Raises:
            InputError: Images that cannot be used.
            FitError: A fit that these images do not allow.
        """
        if self._configuration is None:
            raise FitError("a loaded detector has no configuration to fit by", help="make a new Detector, or update this one")
        if groups is not None and isinstance(images, (str, os.PathLike)):
            raise InputError("groups need a list of images", help="list the files, one group for each")
        method = self._configuration["method"]
        if isinstance(images, (str, os.PathLike)) and _is_data_set(images):
            good = _native.Images.training(as_path(images), method, skip_bad)
        else:
            good = gather(images, channels=channels, skip_bad=skip_bad, groups=groups).images
        running = _running(updatable, skip_bad, batch_size, memory_limit, checkpoint, resume, time_limit)
        engine, device, threads = self._engine
        try:
            model = _native.Model.fit(self._configuration, good, running, engine, device, threads, self._mask, Reporter(progress))
        except TypeError as error:
            raise _as_setting(error) from None
        self._model = model
        for name, reason in [*good.skipped, *model.skipped]:
            warnings.warn(f"left out `{name}`: {reason}", BlemishWarning, stacklevel=2)
        return self

    def update(
        self,
        good: Images,
        *,
        skip_bad: bool = False,
        memory_limit: int | None = None,
        batch_size: int = 8,
        channels: str = "rgb",
        progress: Listener = None,
    ) -> Self:
        """A new detector that has learnt from more good images, without the old ones. Its calibration is dropped; see `calibrate`.

        Raises:
            FitError: The method cannot, or the fit was made without `updatable`.
        """
        images = gather(good, channels=channels, skip_bad=skip_bad).images
        running = _running(False, skip_bad, batch_size, memory_limit, None, False, None)
        return self._with(self._fitted.update(images, running, Reporter(progress)))

    @staticmethod
    def merge(parts: Sequence[Detector], *, progress: Listener = None) -> Detector:
        """The detector that one fit on the images of all parts would have given. Its calibration is dropped; see `calibrate`.

        Raises:
            FitError: Parts that differ in method, settings, backbone or transform, or were fitted without `updatable`.
        """
        parts = list(parts)
        if not parts:
            raise FitError("there are no models to merge", code="cannot_update", help="give one at least")
        running = _running(False, False, 8, None, None, False, None)
        return parts[0]._with(_native.Model.merge([part._fitted for part in parts], running, Reporter(progress)))

    def calibrate(
        self,
        *,
        good: Images | None = None,
        labelled: Labelled | None = None,
        false_alarm: float | None = None,
        by: str = "f1",
        miss_cost: float = 10.0,
        false_alarm_cost: float = 1.0,
        defect_share: float | None = None,
        recall: float = 0.99,
        batch_size: int = 8,
        skip_bad: bool = False,
        channels: str = "rgb",
        progress: Listener = None,
    ) -> Self:
        """A new detector with other thresholds; scores stay as they are.

        Args:
            good: Good images that the model has not seen; their scores replace those that it was calibrated with.
            labelled: A labelled data set, or images and whether each is defective: thresholds become best by `by`.
            false_alarm: Share of good images that may be flagged; the model's own by default.
            by: `f1`, `cost` (of `miss_cost`, `false_alarm_cost` and `defect_share`) or `recall` (of `recall`).
            batch_size, skip_bad, channels, progress: As for `fit`.

        Raises:
            NotCalibratedError: There are no scores to calibrate with, or labels of one kind only.
        """
        fresh = None if good is None else gather(good, channels=channels, skip_bad=skip_bad, frames=self._fitted.clip > 1).images
        told = None if labelled is None else self._labelled(labelled, channels, skip_bad)
        best = (by, miss_cost, false_alarm_cost, defect_share, recall)
        return self._with(self._fitted.calibrate(fresh, told, best, false_alarm, batch_size, skip_bad, Reporter(progress)))

    # Scoring.

    def predict(
        self,
        images: Images,
        *,
        maps: bool = True,
        min_area: float = 0.0,
        batch_size: int = 8,
        skip_bad: bool = False,
        channels: str = "rgb",
        progress: Listener = None,
    ) -> Any:
        """What the model says: a `Result` for one image, a list of them for several, in their order.

        Args:
            images: One image; or a folder, a pattern, a list or iterator, an array of four dimensions.
            maps: Keeps the anomaly maps.
            min_area: Leaves out regions of fewer pixels.
            batch_size: Images (or tiles) per batch; scores do not depend on it.
            skip_bad: Gives results with `error` for images that cannot be used, instead of failing.
            channels: `"bgr"` for arrays from OpenCV.
            progress: As for `fit`.

        Raises:
            InputError: An image that cannot be used, or does not fit the model.
            NotFittedError: Before `fit`.
        """
        model = self._fitted
        gathered = gather(images, channels=channels, skip_bad=skip_bad, frames=model.clip > 1)
        results = self._judge(model, gathered, maps, min_area, batch_size, skip_bad, Reporter(progress))
        return results[0] if gathered.is_single else results

    def iter_predict(
        self,
        images: Iterable[ImageLike],
        *,
        maps: bool = True,
        min_area: float = 0.0,
        batch_size: int = 8,
        skip_bad: bool = False,
        channels: str = "rgb",
    ) -> Iterator[Result]:
        """The results of `predict` one by one, in order, while images come in; of these two batches at most are read ahead."""
        model, source = self._fitted, iter([images] if isinstance(images, (str, os.PathLike, bytes)) else images)
        size = max(1, batch_size)

        def score(batch: Gathered) -> list[Result]:
            return self._judge(model, batch, maps, min_area, batch_size, skip_bad, Reporter(None))

        with ThreadPoolExecutor(1, "blemish") as worker:
            ahead: deque[Future[list[Result]]] = deque()
            try:
                while True:
                    batch = list(islice(source, size))
                    if batch:
                        ahead.append(worker.submit(score, gather(batch, channels=channels, skip_bad=skip_bad)))
                    if not ahead:
                        return
                    if len(ahead) > 1 or not batch:
                        yield from ahead.popleft().result()
            finally:
                for waiting in ahead:
                    waiting.cancel()

    def score(self, images: Images, *, batch_size: int = 8, channels: str = "rgb", progress: Listener = None) -> NDArray[float32]:
        """Image scores alone, of shape (n,), higher is worse; n is 1 for one image."""
        model = self._fitted
        gathered = gather(images, channels=channels, frames=model.clip > 1)
        return model.score(gathered.images, batch_size, Reporter(progress))

    def evaluate(
        self, data: Labelled, *, batch_size: int = 8, skip_bad: bool = False, channels: str = "rgb", progress: Listener = None
    ) -> Metrics:
        """Metrics on a labelled data set, or on images and whether each is defective.

        Raises:
            InputError: Images without labels, or of one kind only where both are needed.
        """
        images = self._labelled(data, channels, skip_bad)
        return metrics_of(self._fitted.evaluate(images, batch_size, skip_bad, Reporter(progress)))

    def verify(self) -> Verification:
        """Scores the images that the model carries for it again, and compares: whether it runs here as where it was fitted."""
        return verification_of(self._fitted.verify(Reporter(None)))

    def _judge(
        self,
        model: _native.Model,
        gathered: Gathered,
        maps: bool,
        min_area: float,
        batch_size: int,
        skip_bad: bool,
        reporter: Callable[..., None],
    ) -> list[Result]:
        told = model.predict(gathered.images, maps, float(min_area), int(batch_size), skip_bad, reporter)
        colours = model.colour_range
        return [result_of(one, gathered.is_file(number), colours) for number, one in enumerate(told)]

    def _labelled(self, data: Labelled, channels: str, skip_bad: bool) -> _native.Images:
        if isinstance(data, (str, os.PathLike)):
            return _native.Images.labelled(as_path(data), self._fitted.clip > 1, skip_bad)
        if not (isinstance(data, tuple) and len(data) == 2):
            raise InputError("labelled images are a path, or a pair of images and labels", help="give (images, labels), True for defective")
        images, labels = data
        return gather(images, channels=channels, skip_bad=skip_bad, labels=list(labels)).images

    # Files.

    def save(self, path: PathLike) -> None:
        """Writes one file that holds everything scoring needs; an existing one is replaced when the new one is complete."""
        self._fitted.save(as_path(path))

    @classmethod
    def load(cls, path: PathLike, *, engine: str = "auto", device: str = "auto", threads: int | None = None) -> Self:
        """Reads a model file; it may change afterwards.

        Raises:
            ModelFileError: A missing, foreign, truncated, corrupt or newer file; `code` tells which.
        """
        try:
            model = _native.Model.load(as_path(path), engine, device, threads)
        except InputError as error:
            # A model that is no file of a model is not an image either.
            raise ModelFileError(*error.args, code=error.code, help=error.help) from None
        return cls._of(model)

    def to_bytes(self) -> bytes:
        """The bytes of the model file."""
        return self._fitted.to_bytes()

    @classmethod
    def from_bytes(cls, data: Buffer, *, engine: str = "auto", device: str = "auto", threads: int | None = None) -> Self:
        """Reads a model from the bytes of its file. Bytes that nobody can change, as of `bytes`, are shared and not copied.

        Raises:
            ModelFileError: As for `load`.
        """
        return cls._of(_native.Model.from_bytes(data, _is_fixed(data), engine, device, threads))

    @classmethod
    def _of(cls, model: _native.Model) -> Self:
        detector = cls.__new__(cls)
        detector._take(model, None, None, None, model.engine)
        return detector

    # What it is.

    @property
    def threshold(self) -> float | None:
        """Image score above which an image is anomalous; `None` without a calibration."""
        return self._fitted.thresholds[0]

    @property
    def pixel_threshold(self) -> float | None:
        """Pixel score above which a pixel is anomalous; `None` without a calibration."""
        return self._fitted.thresholds[1]

    @property
    def calibration(self) -> Calibration | None:
        """The scores of good images that thresholds rest on, and what they promise."""
        told = self._fitted.calibration
        return None if told is None else calibration_of(told)

    @property
    def method(self) -> str:
        """The method's name."""
        if self._model is None and self._configuration is not None:
            return str(self._configuration["method"])
        return str(self._fitted.header["method"])

    @property
    def settings(self) -> dict[str, Any]:
        """The method's settings: all of them once it is fitted, before that those that were given."""
        if self._model is None and self._given is not None:
            return dict(self._given)
        return dict(self._fitted.header["settings"])

    @property
    def transform(self) -> dict[str, Any]:
        """How images become input."""
        return dict(self._fitted.header["transform"])

    @property
    def identity(self) -> str:
        """SHA-256, in hexadecimal, of what the model is: method, backbone, transform and tensors."""
        return self._fitted.identity

    @property
    def info(self) -> dict[str, Any]:
        """What the model file says of the model, the calibration left out."""
        told: dict[str, Any] = self._fitted.header
        return {**told, "coverage": self._fitted.coverage}

    @property
    def is_fitted(self) -> bool:
        """Whether it has learnt."""
        return self._model is not None

    def __repr__(self) -> str:
        state = "fitted" if self._model is not None else "not fitted"
        return f"<Detector {self.method}, {state}>"

    # Copies.

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        state = (self._configuration, self._mask, self._given)
        if self._model is None:
            return (_restore, (type(self), None, self._engine, state))
        data = self._model.to_bytes()
        return (_restore, (type(self), PickleBuffer(data) if protocol >= 5 else data, self._engine, state))

    def __copy__(self) -> Self:
        other = type(self).__new__(type(self))
        other._take(self._model, self._configuration, self._mask, self._given, self._engine)
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # A fitted model never changes, so that copies share it.
        return self.__copy__()


def _restore(cls: type[Detector], data: Any, engine: tuple[str, str, int | None], state: tuple[Any, Any, Any]) -> Detector:
    """A detector out of a pickle; an engine or device that is not here is told and replaced."""
    detector = cls.__new__(cls)
    model = None
    if data is not None:
        try:
            model = _native.Model.from_bytes(data, _is_fixed(data), *engine)
        except ModelFileError:
            raise
        except BlemishError as error:
            model = _native.Model.from_bytes(data, _is_fixed(data), "auto", "auto", engine[2])
            told = f"the detector was pickled with engine {engine[0]} on {engine[1]}, which cannot be had here ({error}); it runs on the CPU"
            warnings.warn(told, BlemishWarning, stacklevel=2)
            engine = model.engine
    detector._take(model, *state, engine)
    return detector


def _is_fixed(data: Any) -> bool:
    """Whether nobody can change these bytes: a read-only view of what can be written to is not enough."""
    while isinstance(data, (memoryview, PickleBuffer)):
        data = data.obj if isinstance(data, memoryview) else memoryview(data)
    if isinstance(data, bytes):
        return True
    try:
        # An array may be a view, read-only by itself, of one that is not.
        return not hasattr(data, "__array_interface__") and memoryview(data).readonly
    except TypeError:
        return False


def threshold_of(detector: Detector, wanted: float) -> float:
    """The detector's threshold as a float.

    Raises:
        NotCalibratedError: There is none; the help says how many images the rate needs.
    """
    threshold = detector.threshold
    if threshold is None:
        needed = -(-1 // wanted) - 1 if wanted > 0 else 0
        help = f"a false-alarm rate of {wanted:g} needs {int(needed)} good images that were left out; fit with folds, or calibrate(good=...)"
        raise NotCalibratedError("the detector has no threshold", help=help)
    return float(threshold)


def _is_data_set(path: PathLike) -> bool:
    """Whether a path is to be opened as a data set: a folder or a list; patterns are lists of images."""
    return os.path.isdir(path) or Path(path).suffix.lower() in (".csv", ".json", ".tsv") or not any(sign in str(path) for sign in "*?[")


def _running(
    updatable: bool,
    skip_bad: bool,
    batch_size: int,
    memory_limit: int | None,
    checkpoint: PathLike | None,
    resume: bool,
    time_limit: float | None,
) -> dict[str, Any]:
    return {
        "updatable": updatable,
        "skip_bad": skip_bad,
        "batch_size": batch_size,
        "memory_limit": memory_limit,
        "checkpoint": None if checkpoint is None else as_path(checkpoint),
        "resume": resume,
        "time_limit": time_limit,
    }


def _pair(sides: Any) -> tuple[int, int] | None:
    if sides is None:
        return None
    if not (isinstance(sides, (list, tuple)) and len(sides) == 2):
        raise SettingError(f"{sides!r} is no size", help="give (height, width)")
    return (int(sides[0]), int(sides[1]))


def _as_setting(error: TypeError) -> BlemishError:
    """A value of a wrong type, which the compiled half tells in its own words."""
    if isinstance(error, BlemishError):
        return error
    return SettingError(str(error), help="see help(Detector)")
