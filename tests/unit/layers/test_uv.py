from collections.abc import Iterator
from pathlib import Path

import pytest

import layers.uv
from layers.uv import UvMissing, uv


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No uv but what the test puts there."""
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(layers.uv, "ROOT", tmp_path)
    uv.cache_clear()
    yield
    uv.cache_clear()


def _program(path: Path, status: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nexit {status}\n")
    path.chmod(0o755)
    return str(path)


def test_the_uv_in_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = _program(tmp_path / "elsewhere/uv", 0)
    _program(tmp_path / ".tools/bin/uv", 0)
    monkeypatch.setenv("UV", own)
    assert uv() == own


def test_a_shim_with_nothing_behind_it_is_passed_over(tmp_path: Path) -> None:
    _program(tmp_path / ".tools/bin/uv", 1)
    working = _program(tmp_path / "bin/uv", 0)
    assert uv() == working


def test_no_uv_is_one_sentence() -> None:
    with pytest.raises(UvMissing, match="^There is no working uv on this machine"):
        uv()
