"""Blemish with scikit-learn's conventions: higher is better, `predict` gives +1 for good images and -1 for anomalous ones.

`pip install blemish[sklearn]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ._detector import Detector, threshold_of
from ._errors import InputError

try:
    from sklearn.base import BaseEstimator, OutlierMixin  # type: ignore[import-untyped,unused-ignore]
    from sklearn.utils.validation import check_is_fitted  # type: ignore[import-untyped,unused-ignore]
except ImportError as error:
    raise ImportError("blemish.sklearn needs scikit-learn: pip install blemish[sklearn]") from error

if TYPE_CHECKING:
    from numpy import float64, int64
    from numpy.typing import NDArray
    from typing import Self

    from ._images import Images


class ImageAnomalyDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc,unused-ignore]
    """An outlier detector of images: X is a list of paths or images, or an array (images, height, width[, channels]).

    `score_samples` is the negative image score, `offset_` the negative threshold, both exactly, so that `predict` agrees with
    `Result.anomalous` at the threshold itself.

    Args:
        method: A method of `blemish.methods()`.
        false_alarm: Share of good images that may be flagged; what other outlier detectors call contamination.
        folds: Folds of the calibration; with 0 there is no `offset_`, and `predict` raises `NotCalibratedError`.
        seed: Fixes every random choice.
        threads: CPU threads.
        options: Further keywords of `blemish.Detector`, settings of the method included.
    """

    def __init__(
        self,
        method: str = "patchcore",
        *,
        false_alarm: float = 0.01,
        folds: int = 5,
        seed: int = 0,
        threads: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.method = method
        self.false_alarm = false_alarm
        self.folds = folds
        self.seed = seed
        self.threads = threads
        self.options = options

    def fit(self, X: Images, y: Any = None) -> Self:
        """Learns from good images; `y` is ignored."""
        images = _images(X)
        detector = Detector(
            self.method,
            false_alarm=self.false_alarm,
            folds=self.folds,
            seed=self.seed,
            threads=self.threads,
            **dict(self.options or {}),
        )
        self.detector_ = detector.fit(images)
        threshold = detector.threshold
        if threshold is not None:
            self.offset_ = -float(threshold)
        elif hasattr(self, "offset_"):
            del self.offset_
        return self

    def score_samples(self, X: Images) -> NDArray[float64]:
        """The negative image scores: higher is better."""
        check_is_fitted(self, "detector_")
        scores: NDArray[float64] = -self.detector_.score(_images(X)).astype(np.float64)
        return scores

    def decision_function(self, X: Images) -> NDArray[float64]:
        """`score_samples - offset_`: below 0 is anomalous.

        Raises:
            NotCalibratedError: The model has no threshold; the error's help says how many images the rate needs.
        """
        check_is_fitted(self, "detector_")
        threshold = threshold_of(self.detector_, self.false_alarm)
        return self.score_samples(X) + threshold

    def predict(self, X: Images) -> NDArray[int64]:
        """+1 for good images, -1 for anomalous ones.

        Raises:
            NotCalibratedError: As for `decision_function`.
        """
        return np.where(self.decision_function(X) >= 0.0, 1, -1)

    def fit_predict(self, X: Images, y: Any = None, **kwargs: Any) -> NDArray[int64]:
        """`fit`, then `predict` of the same images, which score lower than unseen ones."""
        return self.fit(X).predict(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = False
        tags.non_deterministic = False
        return tags


def _images(X: Images) -> Any:
    """X as several images: an array of three dimensions holds grey ones, one of two is no images but a table."""
    if isinstance(X, np.ndarray) and X.dtype.kind in "biuf":
        if X.ndim == 3:
            return list(X)
        if X.ndim != 4:
            raise InputError(f"X has the shape {X.shape}", help="give (images, height, width), (images, height, width, channels), or a list")
    return X
