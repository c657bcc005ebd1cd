"""Signs, offsets and labels of scikit-learn and PyOD."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blemish


def arrays_of(paths: list[Path]) -> Any:
    Image = pytest.importorskip("PIL.Image", reason="Pillow is not here")
    return np.stack([np.asarray(Image.open(path)) for path in paths])


class TestSklearn:
    @pytest.fixture(autouse=True)
    def _here(self) -> None:
        pytest.importorskip("sklearn", reason="scikit-learn is not here")

    def make(self, **given: Any) -> Any:
        from blemish.sklearn import ImageAnomalyDetector

        return ImageAnomalyDetector(**{"false_alarm": 0.1, "options": {"size": (64, 64)}, **given})

    def test_signs_offset_and_equality_at_the_threshold(self, good: list[Path], new: list[Path]) -> None:
        one = self.make().fit(good)
        detector = one.detector_
        scores = detector.score(new).astype(np.float64)
        assert np.array_equal(one.score_samples(new), -scores)
        assert one.offset_ == -detector.threshold
        assert np.array_equal(one.decision_function(new), one.score_samples(new) - one.offset_)
        told = one.predict(new)
        assert [int(label) for label in told] == [-1 if result.anomalous else 1 for result in detector.predict(new)]
        assert set(told) == {-1, 1}
        # The training image at the threshold itself is good.
        exact = detector.calibrate(labelled=(new, ["good" not in p.parts for p in new]), by="f1")
        one.detector_ = exact
        at = [path for path, result in zip(new, exact.predict(new), strict=True) if result.score == exact.threshold]
        for path in at:
            assert one.predict([path])[0] == 1 and exact.predict(path).anomalous is False

    def test_parameters_are_stored_as_they_are(self) -> None:
        from sklearn.base import clone

        options = {"size": (64, 64)}
        one = self.make(options=options, seed=3)
        assert one.options is options and one.get_params()["seed"] == 3
        other = clone(one.set_params(folds=3))
        assert other.folds == 3 and not hasattr(other, "detector_")
        with pytest.raises(blemish.NotFittedError):
            other_error(other)

    def test_pipelines_and_cross_validation(self, good: list[Path], new: list[Path]) -> None:
        from sklearn.metrics import roc_auc_score
        from sklearn.model_selection import cross_val_score
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer

        fast = self.make(method="statistical", folds=2)
        piped = make_pipeline(FunctionTransformer(list), fast).fit(good)
        assert np.array_equal(piped.score_samples(new), fast.score_samples(new))

        def mean_score(estimator: Any, X: Any, y: Any = None) -> float:
            return float(estimator.score_samples(X).mean())

        assert cross_val_score(fast, arrays_of(good), scoring=mean_score, cv=3).shape == (3,)
        assert cross_val_score(fast, [str(path) for path in good], scoring=mean_score, cv=3).shape == (3,)
        labels = [1 if "good" in path.parts else 0 for path in new]
        assert 0.0 <= roc_auc_score(labels, fast.fit(good).score_samples(new)) <= 1.0

    def test_without_a_threshold_nothing_is_predicted(self, good: list[Path]) -> None:
        one = self.make(folds=0).fit(good)
        assert one.score_samples(good).shape == (24,) and not hasattr(one, "offset_")
        with pytest.raises(blemish.NotCalibratedError, match="9 good images"):
            one.predict(good)

    def test_tags(self) -> None:
        from sklearn.utils import get_tags

        tags = get_tags(self.make())
        assert tags.estimator_type == "outlier_detector"
        assert not tags.input_tags.two_d_array and tags.input_tags.three_d_array and tags.input_tags.string


def other_error(estimator: Any) -> None:
    """scikit-learn's own error of an estimator that is not fitted, as ours where both are loaded."""
    from sklearn.exceptions import NotFittedError

    try:
        estimator.predict([np.zeros((64, 64), np.uint8)])
    except NotFittedError as error:
        raise blemish.NotFittedError(str(error)) from error


def test_the_checks_of_scikit_learn() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not here")
    from sklearn.utils import estimator_checks

    from blemish.sklearn import ImageAnomalyDetector

    estimator = ImageAnomalyDetector("statistical", folds=0)
    # By its tags X is no table, so that scikit-learn itself leaves out every check that fits one.
    with pytest.warns(match="Can't test estimator"):
        told = estimator_checks.check_estimator(estimator, on_fail=None, on_skip=None)
    assert told and all(one["status"] == "passed" for one in told), told
    # Those that fit nothing are run here.
    for check in (
        "check_parameters_default_constructible",
        "check_get_params_invariance",
        "check_set_params",
        "check_no_attributes_set_in_init",
        "check_do_not_raise_errors_in_init_or_set_param",
        "check_estimator_repr",
        "check_mixin_order",
        "check_valid_tag_types",
        "check_estimator_tags_renamed",
    ):
        if hasattr(estimator_checks, check):
            getattr(estimator_checks, check)("ImageAnomalyDetector", ImageAnomalyDetector("statistical", folds=0))


@pytest.mark.parametrize("table", [np.zeros((10, 3)), np.zeros(10), np.zeros((2, 2, 2, 2, 2))], ids=["2-d", "1-d", "5-d"])
def test_tables_are_refused(table: Any) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not here")
    from blemish.sklearn import ImageAnomalyDetector

    with pytest.raises(ValueError, match="shape"):
        ImageAnomalyDetector("statistical").fit(table)


class TestPyod:
    @pytest.fixture(autouse=True)
    def _here(self) -> None:
        pytest.importorskip("pyod", reason="PyOD is not here")

    def test_scores_labels_and_probabilities(self, good: list[Path], new: list[Path]) -> None:
        from pyod.models.base import BaseDetector

        from blemish.pyod import Blemish

        one = Blemish(false_alarm=0.1, size=(64, 64)).fit(good)
        assert isinstance(one, BaseDetector)
        scores = one.decision_function(new)
        assert np.array_equal(scores, one.detector_.score(new).astype(np.float64))
        assert one.threshold_ == one.detector_.threshold
        labels = one.predict(new)
        assert labels.tolist() == [int(bool(result.anomalous)) for result in one.detector_.predict(new)]
        assert set(labels) == {0, 1}
        # The assertions of PyOD's own tests of its detectors.
        assert one.decision_scores_.shape == one.labels_.shape == (24,)
        assert one.labels_.tolist() == (one.decision_scores_ > one.threshold_).astype(int).tolist()
        proba = one.predict_proba(new)
        assert proba.shape == (len(new), 2) and proba.min() >= 0.0 and proba.max() <= 1.0
        np.testing.assert_allclose(proba.sum(axis=1), 1.0)
        np.testing.assert_allclose(proba[:, 0], [result.p_value for result in one.detector_.predict(new)])
        assert one.predict(new, return_confidence=True)[1].shape == labels.shape

    def test_contamination_is_ignored_aloud(self) -> None:
        from blemish.pyod import Blemish

        with pytest.warns(blemish.BlemishWarning, match="contamination is ignored"):
            Blemish(contamination=0.2)
        with pytest.raises(blemish.NotFittedError):
            Blemish().decision_function([np.zeros((64, 64), np.uint8)])


def test_an_array_of_three_dimensions_is_several_grey_images(good: list[Path]) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not here")
    from blemish.sklearn import ImageAnomalyDetector

    grey = arrays_of(good)[:, :, :, 0]
    one = ImageAnomalyDetector("statistical", folds=0).fit(grey)
    assert one.score_samples(grey).shape == (24,)
