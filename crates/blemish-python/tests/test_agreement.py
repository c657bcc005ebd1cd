"""Python says what the program says, to the last bit, however an image is given."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blemish
from blemish import Detector

Image = pytest.importorskip("PIL.Image", reason="Pillow is not here")


def test_paths_bytes_pictures_and_arrays_score_as_in_the_program(detector: Detector, new: list[Path], lines: list[dict[str, Any]]) -> None:
    pictures = [Image.open(path) for path in new]
    arrays = [np.asarray(picture) for picture in pictures]

    def generated() -> Iterator[np.ndarray[Any, Any]]:
        yield from arrays

    wide = [np.zeros((2 * a.shape[0], 3 * a.shape[1], 3), np.uint8) for a in arrays]
    for target, array in zip(wide, arrays, strict=True):
        target[::2, ::3] = array
    ways = {
        "paths": new,
        "text": [str(path) for path in new],
        "bytes": [path.read_bytes() for path in new],
        "pictures": pictures,
        "arrays": arrays,
        "generator": generated(),
        "four dimensions": np.stack(arrays),
        "strides": [target[::2, ::3] for target in wide],
        "columns first": [np.asfortranarray(array) for array in arrays],
        "backwards": [np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1] for array in arrays],
        "blue first": [array[:, :, ::-1].copy() for array in arrays],
        "with alpha": [np.dstack([array, np.full(array.shape[:2], 9, np.uint8)]) for array in arrays],
    }
    plain = {}
    for name, images in ways.items():
        results = detector.predict(images, channels="bgr" if name == "blue first" else "rgb")
        plain[name] = [(r.score, r.p_value, r.threshold, r.anomalous, r.regions) for r in results]
        assert [np.float32(r.score) for r in results] == [np.float32(line["score"]) for line in lines], name
        assert [r.p_value for r in results] == [line["p_value"] for line in lines], name
        told = [{**r.to_dict(), "path": None} for r in results]
        assert told == [{**line, "path": None} for line in lines], name
        assert plain[name] == plain["paths"], name
    assert [r.to_dict() for r in detector.predict(new)] == lines
    assert [r.path for r in detector.predict(new)] == [str(path) for path in new]
    assert detector.predict(arrays[0]).path is None
    deep = [array.astype(np.uint16) * 257 for array in arrays]
    assert detector.score([array.astype(">u2") for array in deep]).tolist() == detector.score(deep).tolist()


def test_a_folder_is_taken_as_the_program_takes_it(
    detector: Detector, model: Path, parts: Path, run: Callable[..., str]
) -> None:
    theirs = [json.loads(line) for line in run("predict", model, parts / "test").splitlines()]
    assert [one.to_dict() for one in detector.predict(parts / "test")] == theirs
    assert [one.to_dict() for one in detector.predict(str(parts / "test" / "*" / "*.png"))] == theirs


@pytest.mark.parametrize("depth", ["grey", "16 bit", "float32", "float64", "bool", "16-bit colour"])
def test_depths_score_as_their_files(detector: Detector, new: list[Path], tmp_path: Path, depth: str, run: Callable[..., str], model: Path) -> None:
    rgb = np.asarray(Image.open(new[0]))
    grey = rgb[:, :, 1]
    if depth == "grey":
        array, stored = grey, grey
    elif depth == "16 bit":
        array = stored = grey.astype(np.uint16) * 201
    elif depth == "bool":
        array = grey > 128
        stored = array.astype(np.uint8) * 255
    elif depth == "16-bit colour":
        # 257 is what makes 16 bit of 8: both are the same shades.
        array, stored = rgb.astype(np.uint16) * 257, rgb
    else:
        array = (rgb / 255.0).astype(depth)
        stored = rgb
    path = tmp_path / "one.png"
    Image.fromarray(stored).save(path)
    own, theirs = detector.predict(array), detector.predict(path)
    # Resizing rounds to the depth of the pixels.
    if depth.startswith("float") or depth == "16-bit colour":
        assert own.score == pytest.approx(theirs.score, rel=0.02)
    else:
        assert own.score == theirs.score
        assert np.array_equal(own.map, theirs.map)
        assert np.float32(own.score) == np.float32(json.loads(run("predict", model, path))["score"])
    assert detector.predict(array[:, :, None] if array.ndim == 2 else array).score == own.score


def test_a_turned_photograph_is_turned(detector: Detector, new: list[Path], tmp_path: Path) -> None:
    picture = Image.open(new[0])
    turned, straight = tmp_path / "turned.jpg", tmp_path / "straight.jpg"
    exif = Image.Exif()
    exif[0x0112] = 3
    picture.rotate(180).save(turned, exif=exif, quality=95)
    picture.rotate(180).save(straight, quality=95)
    plain = detector.predict(straight)
    upright = detector.predict(turned)
    assert upright.score != plain.score
    data = io.BytesIO(turned.read_bytes()).getvalue()
    assert detector.predict(data).score == upright.score
    # Pillow decodes JPEG by itself; only what is decoded may differ, by shades.
    assert detector.predict(Image.open(turned)).score == pytest.approx(upright.score, rel=0.05)


def test_pictures_with_palettes_are_looked_up(detector: Detector, new: list[Path]) -> None:
    few = Image.open(new[0]).quantize(16)
    assert detector.predict(few).score == detector.predict(few.convert("RGB")).score


def test_tensors_of_the_cpu_are_read(detector: Detector, new: list[Path]) -> None:
    array = np.asarray(Image.open(new[0]))

    class Tensor:
        def __dlpack__(self, **given: Any) -> Any:
            return array.copy().__dlpack__(**given)

        def __dlpack_device__(self) -> tuple[int, int]:
            return (1, 0)

    class Other:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return array

    expected = detector.predict(array).score
    assert detector.predict(Tensor()).score == expected
    assert detector.predict(Other()).score == expected


def test_a_fit_of_arrays_is_a_fit_of_their_files(good: list[Path], new: list[Path]) -> None:
    def make() -> Detector:
        return Detector(size=(64, 64), seed=5, folds=3)

    arrays = [np.asarray(Image.open(path)) for path in good]
    of_files, of_arrays, of_stack = make().fit(good), make().fit(arrays), make().fit(np.stack(arrays))
    assert of_files.identity == of_arrays.identity == of_stack.identity
    one, other = of_files.predict(new), of_arrays.predict(new)
    for a, b in zip(one, other, strict=True):
        assert a.score == b.score
        assert np.array_equal(a.map, b.map)


def test_a_fit_of_a_folder_is_that_of_the_program(parts: Path, new: list[Path], tmp_path: Path, run: Callable[..., str]) -> None:
    path = tmp_path / "theirs.blemish"
    run("fit", parts, "-o", path, "--false-alarm", "0.1")
    theirs, own = Detector.load(path), Detector(false_alarm=0.1).fit(parts)
    assert own.identity == theirs.identity
    assert own.threshold == theirs.threshold
    assert own.calibration is not None and theirs.calibration is not None
    assert own.calibration.promise == theirs.calibration.promise
    assert own.score(new).tolist() == theirs.score(new).tolist()


def test_groups_keep_folds_apart(good: list[Path]) -> None:
    # Every image twice: alone in its fold a copy would have been learnt.
    twice = [path for path in good for _ in range(2)]
    arrays = [np.asarray(Image.open(path)) for path in twice]
    grouped = Detector(size=(64, 64), false_alarm=0.1).fit(arrays, groups=[number // 2 for number in range(len(twice))])
    calibration = grouped.calibration
    assert calibration is not None and calibration.groups == len(good)
    # In a fold of its own copy an image would score next to nothing.
    assert calibration.image_scores.min() > 0.1 * calibration.image_scores.max()
    with pytest.raises(blemish.InputError, match="48 images and 3 groups"):
        Detector().fit(arrays, groups=[1, 2, 3])


def test_evaluation_and_thresholds_by_labels(detector: Detector, parts: Path, new: list[Path], run: Callable[..., str], model: Path, tmp_path: Path) -> None:
    metrics = detector.evaluate(parts)
    out = tmp_path / "metrics.json"
    run("eval", model, parts, "--json", out)
    theirs = json.loads(out.read_text())
    theirs = theirs.get("evaluation", theirs)
    assert metrics.to_dict()["image"] == theirs["image"]
    assert metrics.to_dict()["pixel"] == theirs["pixel"]
    labels = ["good" not in path.parts for path in new]
    again = detector.evaluate(([np.asarray(Image.open(path)) for path in new], labels))
    assert again.auroc == metrics.auroc and again.aupro is None and metrics.aupro is not None
    best = detector.calibrate(labelled=(new, labels), by="f1")
    assert best is not detector and best.threshold != detector.threshold
    assert best.score(new).tolist() == detector.score(new).tolist()
    strict = detector.calibrate(false_alarm=0.05)
    assert strict.threshold is not None and detector.threshold is not None and strict.threshold >= detector.threshold
    fresh = detector.calibrate(good=[path for path, label in zip(new, labels, strict=True) if not label], false_alarm=0.3)
    assert fresh.calibration is not None and len(fresh.calibration.image_scores) == labels.count(False)
    assert detector.verify() and best.verify() and fresh.verify().is_exact
    fresh.save(tmp_path / "fresh.blemish")
    assert Detector.load(tmp_path / "fresh.blemish").threshold == fresh.threshold


def test_models_learn_on_and_are_merged(good: list[Path], new: list[Path]) -> None:
    def part(images: list[Path]) -> Detector:
        return Detector("padim", size=(64, 64), folds=0).fit(images, updatable=True)

    whole, first, second = part(good), part(good[:15]), part(good[15:])
    merged, updated = Detector.merge([first, second]), first.update(good[15:])
    assert first.identity != merged.identity
    for one in (merged, updated):
        np.testing.assert_allclose(one.score(new), whole.score(new), rtol=1e-4)
    with pytest.raises(blemish.FitError, match="fastflow|filter|padim") as refused:
        Detector("filter", folds=0).fit(good).update(good)
    assert refused.value.code == "cannot_update"


def test_results_come_in_order_with_little_read_ahead(detector: Detector, new: list[Path]) -> None:
    taken = []

    def images() -> Iterator[Path]:
        for path in new:
            taken.append(path)
            yield path

    expected = detector.score(new).tolist()
    results = detector.iter_predict(images(), batch_size=2)
    scores = []
    for number, result in enumerate(results):
        scores.append(result.score)
        assert len(taken) <= number + 1 + 4
    assert scores == expected


def test_overlays_and_regions_are_of_the_image(detector: Detector, new: list[Path]) -> None:
    result = max(detector.predict(new), key=lambda one: float(one.score))
    assert result.path is not None and result.size == (96, 128)
    drawn = result.overlay(result.path)
    array = np.asarray(Image.open(result.path))
    assert drawn.shape == (96, 128, 3) and drawn.dtype == np.uint8 and not np.array_equal(drawn, array)
    assert np.array_equal(result.overlay(array), drawn)
    assert np.array_equal(result.overlay(array, opacity=0.0), array)
    assert result.anomalous and result.regions
    for region in result.regions:
        assert 0 <= region.box.x and region.box.x + region.box.width <= 128
        assert 0 <= region.box.y and region.box.y + region.box.height <= 96
    with pytest.raises(blemish.InputError, match="64x64"):
        result.overlay(np.zeros((64, 64), np.uint8))
    assert detector.predict(new[0], maps=False).map is None
