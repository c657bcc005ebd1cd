"""Fits and scores in shards, with a Ray of three CPUs on this machine."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blemish
from blemish import Detector

ray = pytest.importorskip("ray", reason="Ray is not here")

OPTIONS: dict[str, Any] = {"input_sizes": (64,)}

# PaDiM says that so few images are few for it.
pytestmark = pytest.mark.filterwarnings("ignore:.*covariances are carried by epsilon")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Pictures that lie in the store take up what this allows, and no more.
    ray.init(num_cpus=3, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def scores(detector: Detector, images: list[Path]) -> list[float]:
    return [float(one) for one in detector.score(images)]


def fitted(good: list[Path], **given: Any) -> Detector:
    from blemish.ray import fit

    return fit(good, **{"method": "padim", "calibration_share": 0.0, **OPTIONS, **given})


def test_plans_know_no_cluster_and_tear_no_group(good: list[Path]) -> None:
    from blemish.ray import plan

    shuffled = [good[at] for at in np.random.default_rng(1).permutation(len(good))]
    one = plan(good, "padim", shards=5, **OPTIONS)
    assert plan(shuffled, "padim", shards=5, **OPTIONS) == one
    everything = [path for shard in one.shards for path in shard] + list(one.held_out)
    assert sorted(everything) == sorted(map(str, good))
    assert all(one.shards) and [path for shard in one.shards for path in shard] == sorted(path for shard in one.shards for path in shard)

    def group(path: str) -> int:
        return int(Path(path).stem) // 3

    grouped = plan(good, "padim", shards=4, groups=group, **OPTIONS)
    where: dict[Any, set[int]] = {}
    for number, shard in enumerate([*grouped.shards, grouped.held_out]):
        for path in shard:
            where.setdefault(group(path), set()).add(number)
    assert all(len(numbers) == 1 for numbers in where.values())
    with pytest.raises(blemish.InputError, match="99 shards"):
        plan(good, "padim", shards=99, **OPTIONS)
    with pytest.raises(blemish.SettingError, match="one machine"):
        plan(good, "fastflow")


def test_padim_in_shards_is_one_fit_and_workers_change_no_bit(good: list[Path], new: list[Path]) -> None:
    few = good[:6]
    expected = np.array(scores(Detector("padim", folds=0, **OPTIONS).fit(few), new))
    # The last have shards of a single image.
    for shards in (2, 5):
        told = np.array(scores(fitted(few, shards=shards), new))
        np.testing.assert_allclose(told, expected, rtol=1e-6, err_msg=f"{shards} shards")
    assert fitted(few, shards=2, workers=1).identity == fitted(few, shards=2, workers=2).identity


def test_patchcore_keeps_to_its_radius_and_finds_as_much(good: list[Path], parts: Path) -> None:
    merged = fitted(good, method="patchcore", shards=3, input_sizes=(128,))
    whole = Detector("patchcore", folds=0, input_sizes=(128,)).fit(good)
    assert merged.settings["shards"] == 3
    stated = float(re.search(r"each at most ([\d.]+) away", merged.info["coverage"])[1])  # type: ignore[index]
    # A map smooths distances to the bank, so that none of a training image may lie above the radius.
    measured = max(float(result.map.max()) for result in merged.predict(good))
    assert 0.0 < measured <= stated
    mine, theirs = merged.evaluate(parts).auroc, whole.evaluate(parts).auroc
    assert mine is not None and theirs is not None and abs(mine - theirs) <= 0.005


def test_the_order_of_completion_changes_no_bit(good: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from blemish.ray import _fit

    expected = fitted(good, shards=4).identity
    original = _fit._fit_shard

    def late(number: int, *rest: Any) -> Any:
        time.sleep([0.9, 0.0, 0.5, 0.1][number % 4])
        return original(number, *rest)

    monkeypatch.setattr(_fit, "_fit_shard", late)
    assert fitted(good, shards=4).identity == expected


def test_a_lost_worker_is_made_up_for_and_one_lost_always_is_named(
    good: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blemish.ray import ShardError, _fit

    expected = fitted(good, shards=3).identity
    original = _fit._fit_shard
    mark = tmp_path / "killed"

    def once(number: int, *rest: Any) -> Any:
        if number == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return original(number, *rest)

    monkeypatch.setattr(_fit, "_fit_shard", once)
    assert fitted(good, shards=3).identity == expected and mark.exists()

    def always(number: int, *rest: Any) -> Any:
        if number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(number, *rest)

    monkeypatch.setattr(_fit, "_fit_shard", always)
    with pytest.raises(ShardError, match="shard 2 of 3") as lost:
        fitted(good, shards=3, max_retries=0)
    assert str(sorted(good)[-1]) in str(lost.value)


def test_a_repeated_fit_takes_what_is_there(good: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = fitted(good, shards=4).identity
    with caplog.at_level("INFO", logger="blemish"):
        assert fitted(good, shards=4, work=tmp_path).identity == expected
        kept = sorted(tmp_path.glob("*.blemish"))
        assert len(kept) == 4
        times = {path: path.stat().st_mtime_ns for path in kept}
        kept[0].unlink()
        kept[1].write_bytes(kept[1].read_bytes()[:-9])
        assert fitted(good, shards=4, work=tmp_path).identity == expected
    assert "fitted 4 of 4 shards, 0 were there" in caplog.text and "fitted 2 of 4 shards, 2 were there" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in kept[2:]} == {path: times[path] for path in kept[2:]}
    # Another seed is another shard.
    fitted(good, shards=4, work=tmp_path, seed=7)
    assert len(list(tmp_path.glob("*.blemish"))) == 8


def test_parts_that_differ_are_refused(good: list[Path]) -> None:
    small = Detector("padim", folds=0, input_sizes=(96,)).fit(good[:5], updatable=True)
    large = Detector("padim", folds=0, input_sizes=(64,)).fit(good[5:], updatable=True)
    with pytest.raises(blemish.FitError, match="another image transform"):
        Detector.merge([small, large])
    other = Detector("padim", folds=0, input_sizes=(64,), epsilon=0.5).fit(good[:5], updatable=True)
    with pytest.raises(blemish.FitError, match="epsilon"):
        Detector.merge([large, other])


def test_broken_and_vanished_images_are_named(good: list[Path], tmp_path: Path) -> None:
    from blemish.ray import ShardError, fit, plan

    copies = []
    for path in good[:8]:
        copies.append(tmp_path / path.name)
        copies[-1].write_bytes(path.read_bytes())
    copies[2].write_bytes(copies[2].read_bytes()[:300])
    copies[5].write_bytes(b"")
    with pytest.raises(ShardError, match=f"shard . of 2.*{copies[2].name}|{copies[5].name}"):
        fitted(copies, shards=2)
    with pytest.warns(blemish.BlemishWarning, match=copies[2].name):
        assert fitted(copies, shards=2, skip_bad=True).is_fitted
    planned = plan(good[:6], "padim", shards=2, calibration_share=0.0, **OPTIONS)
    vanished = planned.shards[1][0]
    moved = Path(vanished).rename(tmp_path / "moved.png")
    try:
        with pytest.raises(ShardError, match=Path(vanished).name):
            fit(planned)
    finally:
        moved.rename(vanished)


def test_all_cpus_are_refused_with_the_reason(good: list[Path]) -> None:
    from blemish.ray import score, workers_for

    for asked in (3, 9):
        with pytest.raises(blemish.SettingError, match="wait for ever"):
            fitted(good, workers=asked)
    with pytest.raises(blemish.SettingError, match="wait for ever"):
        score(good, "any.blemish", workers=3)
    assert workers_for(None, 1) == 2


def test_thresholds_come_from_images_that_are_in_no_shard(good: list[Path], new: list[Path]) -> None:
    from blemish.ray import fit, plan

    planned = plan(good, "padim", shards=3, calibration_share=0.4, **OPTIONS)
    assert planned.held_out and not set(planned.held_out) & {path for shard in planned.shards for path in shard}
    detector = fit(planned, false_alarm=0.2)
    calibration = detector.calibration
    assert calibration is not None and len(calibration.image_scores) == len(planned.held_out)
    # The same as one machine makes of them.
    plain = detector.calibrate(good=list(planned.held_out), false_alarm=0.2)
    assert detector.threshold == plain.threshold and detector.pixel_threshold == plain.pixel_threshold
    flagged = sum(score > detector.threshold for score in scores(detector, [Path(path) for path in planned.held_out]))  # type: ignore[operator]
    assert flagged <= 0.2 * (len(planned.held_out) + 1)


def test_scores_are_those_of_one_machine_by_path_bytes_and_reference(
    detector: Detector, model: Path, new: list[Path], tmp_path: Path
) -> None:
    from blemish.ray import score

    expected = {str(result.path): result for result in detector.predict(new)}
    broken, empty = tmp_path / "broken.png", tmp_path / "empty.png"
    broken.write_bytes(new[0].read_bytes()[:400])
    empty.write_bytes(b"")
    for way in (model, detector, ray.put(detector), model.read_bytes(), ray.put(model.read_bytes())):
        rows = score([*new, broken, empty, tmp_path / "missing.png"], way, workers=2, batch_size=4).take_all()
        assert len(rows) == len(new) + 3
        for row in rows:
            result = expected.get(row["path"])
            if result is None:
                assert row["error"] and row["score"] is None, row
                continue
            assert row["error"] is None and row["score"] == np.float32(result.score) and row["p_value"] == result.p_value
            assert row["anomalous"] == result.anomalous and json.loads(row["regions"]) == result.to_dict()["regions"]
    with pytest.raises(Exception, match="broken.png"):
        score([new[0], broken], model, fail_on_bad=True).take_all()


def test_data_sets_of_paths_bytes_and_pixels_score_as_files(model: Path, detector: Detector, new: list[Path]) -> None:
    from PIL import Image

    from blemish.ray import score

    expected = [(str(result.path), np.float32(result.score), result.p_value) for result in detector.predict(new)]
    pixels = [{"path": str(path), "image": np.asarray(Image.open(path))} for path in new]
    sets = {
        "paths": ray.data.from_items([{"path": str(path)} for path in new]),
        "bytes": ray.data.read_binary_files([str(path) for path in new], include_paths=True),
        "pixels": ray.data.from_items(pixels),
    }
    for name, images in sets.items():
        rows = score(images, model, workers=1, batch_size=5).take_all()
        assert sorted((row["path"], np.float32(row["score"]), row["p_value"]) for row in rows) == sorted(expected), name
    # Whoever keeps no names gets rows without them; what is no image is told.
    unnamed = ray.data.from_items([{"bytes": new[0].read_bytes()}, {"bytes": b"no image"}])
    fine, broken = sorted(score(unnamed, model, workers=1).take_all(), key=lambda row: row["error"] is not None)
    assert (fine["path"], np.float32(fine["score"])) == (None, expected[0][1]) and broken["score"] is None and broken["error"]
    with pytest.raises(Exception, match="the data set has the columns id"):
        score(ray.data.range(3), model, workers=1).take_all()


def test_maps_are_kept_and_an_actor_that_is_killed_is_made_up_for(model: Path, detector: Detector, new: list[Path], tmp_path: Path) -> None:
    from blemish.ray import _score, score

    mark = tmp_path / "killed"

    class Fragile(_score.Scorer):
        def __call__(self, batch: dict[str, Any]) -> Any:
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(batch)

    original = _score.Scorer
    _score.Scorer = Fragile  # type: ignore[misc]
    try:
        rows = score(new, model, workers=2, batch_size=4, maps=tmp_path / "maps").take_all()
    finally:
        _score.Scorer = original  # type: ignore[misc]
    assert mark.exists() and sorted(row["path"] for row in rows) == sorted(map(str, new))
    for result in detector.predict(new):
        row = next(row for row in rows if row["path"] == result.path)
        assert row["score"] == np.float32(result.score) and np.array_equal(np.load(row["map"]), result.map)
    assert len(list((tmp_path / "maps").iterdir())) == len(new)


def test_pictures_do_not_pile_up(model: Path, new: list[Path]) -> None:
    from blemish.ray import score

    # 300 pictures of 0.9 MB that no more than a few of can lie in the store at a time.
    random = np.random.default_rng(4).integers(0, 255, (556, 556, 3), np.uint8)
    pictures = ray.data.range(300, override_num_blocks=60).map_batches(
        lambda batch: {"image": np.stack([random] * len(batch["id"])), "path": [str(number) for number in batch["id"]]}, batch_size=5
    )
    rows = score(pictures, model, workers=1, batch_size=5).take_all()
    assert len({row["path"] for row in rows}) == 300 and len({row["score"] for row in rows}) == 1
