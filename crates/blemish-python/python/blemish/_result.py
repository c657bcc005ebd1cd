"""What a detector says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import _native
from ._errors import InputError

if TYPE_CHECKING:
    from numpy import float32, float64, uint8
    from numpy.typing import NDArray

    from ._images import ImageLike


@dataclass(frozen=True)
class Box:
    """A box of whole pixels of the image."""

    x: int
    """First column."""
    y: int
    """First row."""
    width: int
    """Columns."""
    height: int
    """Rows."""


@dataclass(frozen=True)
class Point:
    """A place in the image, with fractions of pixels."""

    x: float
    """From the left edge."""
    y: float
    """From the upper edge."""


@dataclass(frozen=True)
class Peak:
    """The highest score of a region."""

    x: int
    """Column."""
    y: int
    """Row."""
    score: float
    """The score."""


@dataclass(frozen=True)
class Region:
    """A connected part of the image whose scores lie above the pixel threshold."""

    box: Box
    """The smallest box of whole pixels around it."""
    area: float
    """Area in pixels, holes left out."""
    centroid: Point
    """Centre of mass of its area."""
    peak: Peak
    """Its highest score."""
    mean_score: float
    """Mean of its scores."""


@dataclass(frozen=True, eq=False)
class Result:
    """What a detector says of one image."""

    score: float
    """Image score, unbounded, higher is worse; NaN for an image that could not be used."""
    p_value: float | None
    """The share of good images that score like this or worse, at most; `None` without a calibration."""
    threshold: float | None
    """An image with a score above this is anomalous; `None` without a calibration."""
    anomalous: bool | None
    """Whether the image is; `None` without a threshold."""
    map: NDArray[float32] | None
    """The anomaly map at the size of the input, (height, width), higher is worse; `None` if it was not asked for."""
    regions: list[Region]
    """Where the map lies above the pixel threshold, in pixels of the image; empty without one."""
    size: tuple[int, int]
    """Height and width of the image."""
    path: str | None
    """The file; `None` for images in memory."""
    error: str | None = None
    """Why the image could not be used, where `skip_bad` let the others go on; else `None`."""
    _verdict: str = field(default="null", repr=False)
    _covered: tuple[int, int, int, int] = field(default=(0, 0, 0, 0), repr=False)
    _colours: tuple[float, float] = field(default=(0.0, 1.0), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The result as plain values: the line that `blemish predict` writes for the image, with `error` for one that could not be used."""
        if self.error is not None:
            return {"path": self.path, "error": self.error}
        told: dict[str, Any] = json.loads(self._verdict)
        return told

    def overlay(self, image: ImageLike, opacity: float = 0.5, *, channels: str = "rgb") -> NDArray[uint8]:
        """The map over its image: (height, width, 3) of uint8, red first. What is normal stays as it is, the rest is coloured up to `opacity`."""
        from ._images import as_pixels

        if self.map is None:
            raise InputError("this result has no map", help="predict with maps=True")
        if not 0.0 <= opacity <= 1.0:
            raise InputError(f"opacity {opacity} is outside 0 to 1", help="give a share")
        array, bgr = as_pixels(image, channels)
        if array.shape[:2] != tuple(self.size):
            told = f"the image is {array.shape[1]}x{array.shape[0]} pixels, and the result is of one of {self.size[1]}x{self.size[0]}"
            raise InputError(told, help="give the image that was scored")
        return _native.overlay(array, bgr, self.map, self._covered, self._colours, opacity)


def result_of(told: tuple[Any, ...], is_file: bool, colours: tuple[float, float]) -> Result:
    """The result in the tuple that the compiled half gives."""
    verdict, score, p_value, threshold, anomalous, map, regions, size, covered, name, error = told
    path = name if is_file else None
    found = [_region(one) for one in regions or ()]
    return Result(score, p_value, threshold, anomalous, map, found, size, path, error, verdict or "null", covered, colours)


def _region(told: dict[str, Any]) -> Region:
    return Region(Box(**told["box"]), told["area"], Point(**told["centroid"]), Peak(**told["peak"]), told["mean_score"])


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scores of good images that the model had not seen, and the thresholds that follow from them."""

    threshold: float | None
    """An image with a score above this is anomalous."""
    pixel_threshold: float | None
    """A pixel with a score above this is anomalous."""
    image_scores: NDArray[float64]
    """Image scores of the good images, ascending."""
    map_maxima: NDArray[float64]
    """The highest value of each of their maps, ascending."""
    groups: int
    """Images or groups of images that count."""
    lowest_rate: float
    """The lowest false-alarm rate that they can promise."""
    origin: str
    """Where the scores are from, in words."""
    promise: str
    """What the thresholds promise, in words."""
    rule: Mapping[str, Any]
    """What the thresholds were chosen for."""


def calibration_of(told: dict[str, Any]) -> Calibration:
    """The calibration in the dictionary that the compiled half gives."""
    import numpy as np

    return Calibration(
        told["image_threshold"],
        told["pixel_threshold"],
        np.array(told["image_scores"], dtype=np.float64),
        np.array(told["map_maxima"], dtype=np.float64),
        told["groups"],
        told["lowest_rate"],
        told["origin"],
        told["promise"],
        told["rule"],
    )


@dataclass(frozen=True)
class Metrics:
    """How well a detector does on labelled images. A metric that is undefined for them is `None`; `notes` say why."""

    auroc: float | None
    """Area under the ROC curve of image scores."""
    ap: float | None
    """Average precision of image scores."""
    f1_max: float | None
    """Best F1 of image scores over all thresholds."""
    pixel_auroc: float | None
    """Area under the ROC curve over all pixels."""
    pixel_ap: float | None
    """Average precision over all pixels."""
    pixel_f1_max: float | None
    """Best F1 over all pixels and thresholds."""
    aupro: float | None
    """Area under the per-region overlap curve up to a false positive rate of 0.3."""
    aupimo: float | None
    """Mean AUPIMO of the defective images."""
    good: int
    """Good images."""
    defective: int
    """Defective images."""
    notes: tuple[str, ...]
    """Why something is undefined or was left out."""
    _all: Mapping[str, Any] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Every metric, as `blemish eval --json` has them: intervals, kinds of defects, decisions, categories."""
        return dict(self._all)


def metrics_of(told: dict[str, Any]) -> Metrics:
    """The metrics in the dictionary that the compiled half gives."""
    image, pixel, counts = told["image"], told["pixel"], told["counts"]
    return Metrics(
        image["auroc"],
        image["ap"],
        image["f1_max"],
        pixel["auroc"],
        pixel["ap"],
        pixel["f1_max"],
        pixel["aupro"],
        pixel["aupimo_mean"],
        counts["good"],
        counts["defective"],
        tuple(told["notes"]),
        told,
    )


@dataclass(frozen=True)
class VerifiedImage:
    """An image of the verification record, scored again."""

    name: str
    """`training image 1`, ..., `noise`."""
    recorded: float
    """Score at fit time."""
    score: float
    """Score now."""
    difference: float
    """Largest difference of score or map, as a share of the recorded map's highest value."""


@dataclass(frozen=True)
class Verification:
    """Whether a deployed model scores as the fitted one."""

    passed: bool
    """Whether all of it holds."""
    is_content_intact: bool
    """Whether method, backbone, transform and every tensor are those of the fit."""
    decisions: str
    """Whether the thresholds are: `intact`, `altered`, or `not_covered` by the record of an older program."""
    is_exact: bool
    """Whether scores had to agree to the last bit."""
    tolerance: float
    """Largest difference allowed; 0 where they must agree to the last bit."""
    images: tuple[VerifiedImage, ...]
    """Each image of the record."""

    def __bool__(self) -> bool:
        return self.passed


def verification_of(told: dict[str, Any]) -> Verification:
    """The outcome in the dictionary that the compiled half gives."""
    names = ("name", "recorded", "score", "difference")
    images = tuple(VerifiedImage(**{name: one[name] for name in names}) for one in told["images"])
    return Verification(told["passed"], told["is_content_intact"], told["decisions"], told["is_exact"], told["tolerance"], images)
