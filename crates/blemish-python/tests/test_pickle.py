"""Copies: pickles of every protocol, out-of-band buffers, damaged payloads, copies of copies."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

import blemish
from blemish import Detector


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol(detector: Detector, new: list[Path], protocol: int) -> None:
    other = pickle.loads(pickle.dumps(detector, protocol))
    assert other.identity == detector.identity and other.threshold == detector.threshold
    assert other.score(new).tolist() == detector.score(new).tolist()


def test_buffers_go_out_of_band_and_are_shared(detector: Detector, new: list[Path]) -> None:
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(detector, 5, buffer_callback=buffers.append)
    assert len(buffers) == 1 and len(head) < 20_000 < len(buffers[0].raw())
    shared = bytes(buffers[0].raw())
    other = pickle.loads(head, buffers=[shared])
    assert other.score(new).tolist() == detector.score(new).tolist()
    # Who may write to the bytes afterwards changes nothing.
    writable = bytearray(shared)
    third = pickle.loads(head, buffers=[writable])
    writable[:] = bytes(len(writable))
    assert third.score(new).tolist() == detector.score(new).tolist()


def test_copies_and_cloudpickle(detector: Detector, new: list[Path]) -> None:
    expected = detector.score(new).tolist()
    for other in (copy.copy(detector), copy.deepcopy(detector), copy.deepcopy({"one": [detector]})["one"][0]):
        assert other is not detector and other.score(new).tolist() == expected
    cloudpickle = pytest.importorskip("cloudpickle", reason="cloudpickle is not here")
    there = pickle.loads(cloudpickle.dumps(lambda images: detector.score(images).tolist()))
    assert there(new) == expected


def test_what_is_not_fitted_keeps_its_configuration(good: list[Path]) -> None:
    plain = Detector("padim", size=(64, 64), folds=0, epsilon=0.02, seed=4)
    other = pickle.loads(pickle.dumps(plain))
    assert not other.is_fitted and other.method == "padim" and other.settings == {"epsilon": 0.02}
    assert other.fit(good).identity == plain.fit(good).identity


def test_damage_is_told(detector: Detector) -> None:
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(detector, 5, buffer_callback=buffers.append)
    raw = bytes(buffers[0].raw())
    for wrong in (raw[:1000], raw[:-1], raw[:-1] + bytes([raw[-1] ^ 1]), b""):
        with pytest.raises(blemish.ModelFileError):
            pickle.loads(head, buffers=[wrong])


def test_an_engine_that_is_not_here_is_told_and_replaced(detector: Detector, new: list[Path]) -> None:
    made, (cls, data, _, state) = detector.__reduce_ex__(4)
    with pytest.warns(blemish.BlemishWarning, match="cuda:7"):
        other = made(cls, data, ("auto", "cuda:7", 1), state)
    assert other.score(new).tolist() == detector.score(new).tolist()


def test_errors_and_results_travel(detector: Detector, new: list[Path]) -> None:
    result = pickle.loads(pickle.dumps(detector.predict(new[0])))
    assert result.to_dict() == detector.predict(new[0]).to_dict()
    error = pickle.loads(pickle.dumps(blemish.InputError("what", code="pixels", help="how")))
    assert (str(error), error.code, error.help) == ("what; how", "pixels", "how")
