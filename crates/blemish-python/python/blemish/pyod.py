"""Blemish with PyOD's conventions: higher is worse, `predict` gives 0 for good images and 1 for anomalous ones.

`pip install blemish[pyod]`. Without PyOD the class works all the same, only that it is no `BaseDetector`.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from ._detector import Detector, threshold_of
from ._errors import BlemishWarning, not_fitted

if TYPE_CHECKING:
    from numpy import float64, int64
    from numpy.typing import NDArray
    from typing import Self

    from ._images import Images

    BaseDetector: Any
else:
    try:
        from pyod.models.base import BaseDetector
    except ImportError:
        BaseDetector = object


class Blemish(BaseDetector):  # type: ignore[misc,unused-ignore]
    """An image anomaly detector after PyOD: `decision_scores_`, `threshold_`, `labels_`, `predict_proba`.

    `decision_scores_` are not, as elsewhere in PyOD, the scores of the training images by the model that learnt from them, but their scores by
    models that had not seen them (ascending, those of the calibration): what a new good image can expect. `labels_` are theirs.

    Args:
        method: A method of `blemish.methods()`.
        false_alarm: Share of good images that may be flagged.
        contamination: Ignored, with a warning: training images are good, and the threshold follows from `false_alarm`.
        **options: Further keywords of `blemish.Detector`, settings of the method included.
    """

    def __init__(self, method: str = "patchcore", *, false_alarm: float = 0.01, contamination: float | None = None, **options: Any) -> None:
        if BaseDetector is not object:
            super().__init__(contamination=0.1 if contamination is None else contamination)
        if contamination is not None:
            told = "contamination is ignored: the training images are good, and false_alarm says how many of them may be flagged"
            warnings.warn(told, BlemishWarning, stacklevel=2)
        self.method = method
        self.false_alarm = false_alarm
        self.options = options

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {"method": self.method, "false_alarm": self.false_alarm, **self.options}

    def set_params(self, **params: Any) -> Self:
        """Changes arguments of the constructor."""
        for name, value in params.items():
            if name in ("method", "false_alarm"):
                setattr(self, name, value)
            else:
                self.options[name] = value
        return self

    def fit(self, X: Images, y: Any = None) -> Self:
        """Learns from good images; `y` is ignored.

        Raises:
            NotCalibratedError: The images are too few for a threshold, or `folds` is 0.
        """
        self.detector_ = Detector(self.method, false_alarm=self.false_alarm, **self.options).fit(_images(X))
        self.threshold_ = threshold_of(self.detector_, self.false_alarm)
        calibration = self.detector_.calibration
        assert calibration is not None, "a threshold comes with a calibration"
        self.decision_scores_ = calibration.image_scores
        self.labels_ = self._labels(self.decision_scores_)
        self._mu = float(np.mean(self.decision_scores_))
        self._sigma = float(np.std(self.decision_scores_))
        self._classes = 2
        return self

    def decision_function(self, X: Images) -> NDArray[float64]:
        """Image scores: higher is worse."""
        scores: NDArray[float64] = self._detector.score(_images(X)).astype(np.float64)
        return scores

    def predict(self, X: Images, return_confidence: bool = False) -> Any:
        """0 for good images, 1 for anomalous ones; with `return_confidence` also 1 minus the p-value for anomalous, the p-value for good ones."""
        scores = self.decision_function(X)
        labels = self._labels(scores)
        if not return_confidence:
            return labels
        p_values = self._p_values(scores)
        return labels, np.where(labels == 1, 1.0 - p_values, p_values)

    def predict_proba(self, X: Images, method: str = "linear", return_confidence: bool = False) -> Any:
        """(n, 2): for good, for anomalous. The second is 1 minus the p-value, the share of good images that score lower; `method` does not matter."""
        p_values = self._p_values(self.decision_function(X))
        proba = np.stack([p_values, 1.0 - p_values], axis=1)
        return (proba, np.max(proba, axis=1)) if return_confidence else proba

    @property
    def _detector(self) -> Detector:
        detector = self.__dict__.get("detector_")
        if detector is None:
            raise not_fitted(type(self).__name__)
        return detector  # type: ignore[no-any-return]

    def _labels(self, scores: NDArray[float64]) -> NDArray[int64]:
        return (scores > self.threshold_).astype(np.int64)

    def _p_values(self, scores: NDArray[float64]) -> NDArray[float64]:
        known = self.decision_scores_
        reached = len(known) - np.searchsorted(known, scores, side="left")
        shares: NDArray[float64] = np.asarray((reached + 1.0) / (len(known) + 1.0), dtype=np.float64)
        return shares


def _images(X: Images) -> Any:
    """X as several images: an array of three dimensions holds grey ones."""
    return list(X) if isinstance(X, np.ndarray) and X.ndim == 3 else X
