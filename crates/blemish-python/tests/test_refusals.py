"""What cannot be used is refused with the right class, a code and a help, and never ends the interpreter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blemish
from blemish import Detector, InputError, ModelFileError, SettingError


class OnAGpu:
    def __dlpack__(self) -> Any:
        raise AssertionError("it is not read")

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((3, 64, 64), np.uint8), "channels come last; use np.moveaxis"),
        (np.zeros((64, 64, 2), np.uint8), "2 channels"),
        (np.zeros((0, 64, 3), np.uint8), "no pixels"),
        (np.zeros((64,), np.uint8), "height, width"),
        (np.zeros((2, 2, 64, 64, 3), np.uint8), "height, width"),
        (np.full((64, 64), np.nan, np.float32), "NaN"),
        (np.full((64, 64), 200.0), "not within"),
        (np.zeros((64, 64), np.int64), "int64"),
        (np.array([[object()]]), "object"),
        (np.array([["a"] * 9] * 9), "<U1"),
        (np.zeros((64, 64), np.complex64), "complex64"),
        (np.zeros((4, 4), np.uint8), "4x4 pixels"),
        (OnAGpu(), "another device"),
        (object(), "is no image"),
        (7, "is no image"),
        (None, "is no image"),
        (b"", "empty"),
        (b"GIF89a", "cut short|damaged|GIF"),
        (b"not an image at all", "not an image"),
        ("missing.png", "check that the file exists"),
        (Path("missing.png"), "missing.png"),
    ],
    ids=lambda value: str(getattr(value, "shape", value))[:24],
)
def test_images(detector: Detector, image: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        detector.predict(image)
    error = refused.value
    assert isinstance(error, ValueError) and isinstance(error, blemish.BlemishError)
    assert error.code in {"pixels", "image_unreadable", "image_format", "image_too_small", "image_values", "dataset"}, error.code
    assert error.help, error
    # In a list, too, and the others go on where that is wanted.
    if not isinstance(image, np.ndarray) or image.ndim != 5:
        fine = np.full((64, 64), 99, np.uint8)
        told = detector.predict([fine, image, fine], skip_bad=True) if image is not None and not isinstance(image, int) else None
        if told is not None:
            assert [one.error is None for one in told] == [True, False, True]
            assert told[1].error and told[0].score == told[2].score and np.isnan(told[1].score)
            assert set(told[1].to_dict()) == {"path", "error"}


def test_a_list_of_broken_images_alone_has_results_too(detector: Detector, tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    told = detector.predict([b"no image", tmp_path / "empty.png", np.zeros((3, 3), np.uint8)], skip_bad=True)
    assert ["not an image" in told[0].error, "empty" in told[1].error, "3x3" in told[2].error] == [True] * 3
    assert detector.predict(tmp_path / "empty.png", skip_bad=True).path == str(tmp_path / "empty.png")


def test_blue_first_is_asked_for_and_never_guessed(detector: Detector) -> None:
    with pytest.raises(SettingError, match="bgr"):
        detector.predict(np.zeros((64, 64, 3), np.uint8), channels="gbr")


def test_folders(detector: Detector, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        detector.predict(tmp_path)
    assert refused.value.code == "dataset" and refused.value.help
    with pytest.raises(InputError):
        Detector().fit(tmp_path)
    with pytest.raises(InputError):
        Detector().fit(tmp_path / "missing")
    with pytest.raises(blemish.FitError, match="no training images"):
        Detector().fit([])
    assert detector.predict([]) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "patchcor"}, "did you mean `patchcore`"),
        ({"coreset_rato": 0.1}, "did you mean `coreset_ratio`"),
        ({"thread": 2}, "did you mean `threads`"),
        ({"coreset_ratio": 7}, "0.0001 to 1"),
        ({"coreset_ratio": "half"}, "coreset_ratio"),
        ({"coreset_ratio": float("nan")}, "no plain value"),
        ({"coreset_ratio": object()}, "no plain value"),
        ({"backbone": "resnet999"}, "resnet999"),
        ({"size": "large"}, "native"),
        ({"size": (1, 2, 3)}, "height, width"),
        ({"size": 0.5}, "size"),
        ({"folds": -1}, "folds"),
        ({"seed": -1}, "seed"),
        ({"false_alarm": 2.0}, "above 0 and below 1"),
        ({"threads": 0}, "1 and more"),
        ({"engine": "steam"}, "steam"),
        ({"device": "abacus"}, "abacus"),
        ({"ensemble": ["own.onnx"]}, "layers"),
        ({"backbone_precision": "half"}, "single, int8, auto"),
    ],
    ids=lambda value: str(value)[:32],
)
def test_settings(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises((blemish.BlemishError, ValueError), match=words) as refused:
        Detector(**options).fit([np.zeros((64, 64), np.uint8)] * 3)
    assert isinstance(refused.value, (TypeError, ValueError)) or getattr(refused.value, "code", "") in {"engine"}, refused.type


def test_a_backbone_in_bytes_scores_otherwise(good: list[Path]) -> None:
    scores = [Detector(size=(64, 64), folds=0, backbone_precision=word).fit(good[:4]).score(good[0]) for word in ("single", "int8")]
    assert scores[0] != scores[1]


def test_numbers_of_numpy_are_numbers(good: list[Path]) -> None:
    one = Detector(size=(64, 64), folds=0, coreset_ratio=np.float64(0.05)).fit(good[:4])
    assert one.settings["coreset_ratio"] == 0.05


def test_model_files(detector: Detector, tmp_path: Path) -> None:
    data = detector.to_bytes()
    wrong = {
        "not_a_model": b"hello, this is a text and no model",
        "truncated": data[: len(data) // 2],
        "corrupt": data[:-5] + bytes([data[-5] ^ 1]) + data[-4:],
    }
    for code, content in wrong.items():
        path = tmp_path / f"{code}.blemish"
        path.write_bytes(content)
        for load in (lambda path=path: Detector.load(path), lambda content=content: Detector.from_bytes(content)):
            with pytest.raises(ModelFileError) as refused:
                load()
            assert isinstance(refused.value, OSError) and refused.value.code == code and refused.value.help
    with pytest.raises(ModelFileError) as refused:
        Detector.load(tmp_path / "missing.blemish")
    assert refused.value.code == "io"
    with pytest.raises(ModelFileError):
        detector.save(tmp_path / "missing" / "folder" / "x.blemish")
    with pytest.raises(TypeError):
        Detector.from_bytes("text")  # type: ignore[arg-type]


def test_what_is_not_fitted_says_so(good: list[Path]) -> None:
    for ask in (lambda d: d.predict(good), lambda d: d.save("x"), lambda d: d.threshold, lambda d: d.identity):
        with pytest.raises(blemish.NotFittedError, match="call fit") as refused:
            ask(Detector())
        assert isinstance(refused.value, AttributeError)
    pytest.importorskip("sklearn", reason="scikit-learn is not here")
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        Detector().predict(good)


def test_broken_images_are_left_out_of_a_fit_with_a_warning(good: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(good[0].read_bytes()[:500])
    with pytest.raises(InputError, match="broken.png"):
        Detector(size=(64, 64), folds=0).fit([*good, broken])
    with pytest.warns(blemish.BlemishWarning, match="broken.png"):
        one = Detector(size=(64, 64), folds=0).fit([*good, broken], skip_bad=True)
    assert one.identity == Detector(size=(64, 64), folds=0).fit(good).identity


def test_a_model_without_scores_cannot_be_calibrated(good: list[Path]) -> None:
    one = Detector(size=(64, 64), folds=0).fit(good)
    assert one.threshold is None and one.predict(good[0]).anomalous is None and one.predict(good[0]).regions == []
    with pytest.raises(blemish.NotCalibratedError):
        one.calibrate(false_alarm=0.1)
    with pytest.raises(blemish.InputError):
        one.evaluate(([str(path) for path in good], [False]))
