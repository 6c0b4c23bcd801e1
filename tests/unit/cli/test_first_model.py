import hashlib
import json
from pathlib import Path
from typing import Any, cast

import pytest

from cli import first_model
from cli.errors import CommandFailed
from cli.first_model import FirstModel
from cli.progress import Silence
from cli.target import Target
from lastmile.registry import Registry
from lastmile.store import Store
from tests.unit.cli.conftest import SPEC, linear_graph

TRAINER = """
import argparse, pathlib, shutil
parser = argparse.ArgumentParser()
parser.add_argument("--out", type=pathlib.Path, required=True)
out = parser.parse_args().out
open("runs", "a").write("run\\n")
shutil.copytree("trained", out)
"""


class Deployed:
    """All that a first model needs of a stack."""

    def __init__(self) -> None:
        self._registry = Registry(Store.open("memory://", environ={}))

    def registry(self) -> Registry:
        return self._registry


@pytest.fixture
def deployed() -> Deployed:
    return Deployed()


@pytest.fixture
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FirstModel:
    """Of a checkout whose trainer hands out two small models and their report."""
    monkeypatch.setattr(first_model, "MODEL", "iris")
    trained = tmp_path / "trained"
    trained.mkdir()
    report: dict[str, Any] = {"images": [{"digit": 1, "image": [0]}]}
    for factor, (name, file) in enumerate(zip(("fp32", "int8"), first_model.FILES, strict=True), 1):
        data = linear_graph(factor).SerializeToString()
        (trained / file).write_bytes(data)
        described = {"file": file, "sha256": hashlib.sha256(data).hexdigest(), "metrics": {"accuracy": factor / 10}}
        report[name] = described | {"compression": {"kind": name}}
    (trained / "report.json").write_text(json.dumps(report))
    package = tmp_path / "models/iris"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package.parent / "__init__.py").touch()
    (package / "train.py").write_text(TRAINER)
    (package / "spec.toml").write_text(SPEC)
    return FirstModel(tmp_path)


def serve(first: FirstModel, deployed: Deployed) -> None:
    first.serve(cast(Target, deployed), Silence())


def test_both_versions_are_pushed_and_the_second_is_champion(first: FirstModel, deployed: Deployed) -> None:
    serve(first, deployed)
    registry = deployed.registry()
    release = registry.release("iris")
    assert (release.champion, release.previous) == (2, 1)
    assert [manifest.metrics for manifest in registry.versions("iris")] == [{"accuracy": 0.2}, {"accuracy": 0.1}]
    assert [manifest.compression["kind"] for manifest in registry.versions("iris")] == ["int8", "fp32"]
    assert registry.verify_audit("iris") == []


def test_what_somebody_released_is_left_alone(first: FirstModel, deployed: Deployed) -> None:
    serve(first, deployed)
    registry = deployed.registry()
    registry.promote("iris", 1, actor="ann", why="better after all")
    before = registry.release("iris")
    serve(first, deployed)
    assert registry.release("iris") == before


def test_what_was_pushed_but_not_promoted_is_not_pushed_again(
    first: FirstModel, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted in between, the next `up` goes on."""
    with monkeypatch.context() as patch:
        patch.setattr(Registry, "promote", interrupt)
        with pytest.raises(KeyboardInterrupt):
            serve(first, deployed)
    serve(first, deployed)
    assert deployed.registry().release("iris").champion == 2
    assert len(deployed.registry().versions("iris")) == 2


def interrupt(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_it_is_trained_once(first: FirstModel, deployed: Deployed) -> None:
    serve(first, deployed)
    serve(first, Deployed())
    assert (first.checkout / "runs").read_text() == "run\n"
    assert first.images() == [{"digit": 1, "image": [0]}]


def test_a_trainer_that_fails_says_why_and_leaves_nothing(first: FirstModel, deployed: Deployed) -> None:
    (first.checkout / "models/iris/train.py").write_text("raise SystemExit('the data is gone')")
    with pytest.raises(CommandFailed, match="iris could not be trained: the data is gone"):
        serve(first, deployed)
    assert not first.folder.exists()
