"""The package itself: documentation, the program, the import."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import blemish


def test_every_public_name_is_documented() -> None:
    missing = []
    for name in blemish.__all__:
        thing = getattr(blemish, name)
        if name.startswith("__") or not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        if not inspect.getdoc(thing):
            missing.append(name)
        if inspect.isclass(thing):
            for member, value in vars(thing).items():
                if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, (property, classmethod, staticmethod))):
                    if not inspect.getdoc(getattr(value, "__func__", value)):
                        missing.append(f"{name}.{member}")
    assert not missing


def test_the_signature_is_shown() -> None:
    told = str(inspect.signature(blemish.Detector))
    for word in ("method: 'str' = 'patchcore'", "false_alarm: 'float' = 0.01", "**settings"):
        assert word in told
    text = subprocess.run([sys.executable, "-c", "import blemish; help(blemish.Detector)"], capture_output=True, text=True).stdout
    assert "false_alarm" in text and "method:" in text


@pytest.mark.parametrize("module", ["blemish", "blemish._methods"])
def test_doctests(module: str) -> None:
    __import__(module)
    outcome = doctest.testmod(sys.modules[module])
    assert outcome.failed == 0 and outcome.attempted > 0


def test_an_import_brings_no_more_than_numpy() -> None:
    code = "import sys, blemish; print(*sorted(m for m in sys.modules if '.' not in m))"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert "numpy" in loaded and not loaded & {"torch", "sklearn", "PIL", "pandas", "ray", "tqdm", "pyod"}


def test_the_program_ends_with_its_exit_codes(tmp_path: Path) -> None:
    def code(*words: str) -> int:
        return subprocess.run([sys.executable, "-m", "blemish", *words], capture_output=True, cwd=tmp_path).returncode

    assert code("--version") == 0
    assert code("methods", "patchcore") == 0
    assert code("predict", "missing.blemish", "x.png") == 1
    assert code("fit", "--no-such-option") == 2


def test_methods_are_those_of_the_program() -> None:
    told = subprocess.run([sys.executable, "-m", "blemish", "methods", "--json"], capture_output=True, text=True, check=True).stdout
    import json

    theirs = json.loads(told)
    assert [one["name"] for one in theirs] == [one.name for one in blemish.methods()]
    assert [[s["name"] for s in one["settings"]] for one in theirs] == [[s.name for s in one.settings] for one in blemish.methods()]


def test_logs_go_to_pythons(detector: blemish.Detector, good: list[Path], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="blemish"):
        detector.score(good * 20)
    assert any("scoring" in record.message for record in caplog.records)
