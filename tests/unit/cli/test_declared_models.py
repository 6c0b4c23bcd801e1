"""The models of this checkout: found by their makers; and what went wrong with each is said."""

from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from cli.declared_models import DeclaredModels, champion, check
from cli.errors import CommandFailed
from cli.progress import Silence
from cli.target import CHECKOUT
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.store import Store

DECLARED = DeclaredModels(CHECKOUT)


def test_every_model_with_a_maker_is_declared_and_can_be_trained() -> None:
    assert DECLARED.names() == ["demand", "fraud", "maintenance", "recommendations", "tickets"]
    for name in DECLARED.names():
        assert ModelSpec.from_toml(CHECKOUT / "models" / name / "spec.toml").training is not None


def test_a_model_without_a_maker_is_not_trained(tmp_path: Path) -> None:
    for name in ("plums/data.py", "pears/spec.toml"):
        (tmp_path / "models" / name).parent.mkdir(parents=True)
        (tmp_path / "models" / name).touch()
    assert DeclaredModels(tmp_path).names() == ["plums"]


def test_data_that_cannot_be_made_is_said_with_the_makers_last_words(tmp_path: Path) -> None:
    maker = tmp_path / "models/plums/data.py"
    maker.parent.mkdir(parents=True)
    for folder in (tmp_path / "models", maker.parent):
        (folder / "__init__.py").touch()
    maker.write_text("raise SystemExit('no plums this year')\n")
    with pytest.raises(CommandFailed, match=r"The data of plums could not be made: no plums this year\."):
        DeclaredModels(tmp_path)._made("plums")
    maker.write_text("import sys, pathlib\npathlib.Path(sys.argv[-1]).write_text('size\\n1\\n')\n")
    assert DeclaredModels(tmp_path)._made("plums").read_text() == "size\n1\n"


class Interrupted(DeclaredModels):
    """One is interrupted while the other goes on for long."""

    def names(self) -> list[str]:
        return ["plums", "pears"]

    def _trained(self, target: Any, name: str, progress: Any, tell: Any, interrupted: Event) -> dict[str, Any]:
        if name == "plums":
            raise KeyboardInterrupt
        assert interrupted.wait(60)
        return {}


def test_who_interrupts_does_not_wait_for_what_trains(tmp_path: Path) -> None:
    target: Any = SimpleNamespace(registry=lambda: Registry(Store.open("memory://", environ={})))
    with pytest.raises(KeyboardInterrupt):
        Interrupted(tmp_path).serve(target, Silence())


def test_a_model_that_nobody_pushed_has_no_champion() -> None:
    assert champion(Registry(Store.open("memory://", environ={})), "fraud") is None


def test_every_run_that_did_not_end_well_is_named() -> None:
    good = {"model": "fraud", "state": "promoted", "problem": None}
    check([good])
    bad = {"model": "demand", "state": "refused", "problem": {"reason": "too few rows"}}
    odd = {"model": "tickets", "state": "superseded", "problem": None}
    with pytest.raises(CommandFailed, match=r"demand refused: too few rows; tickets superseded\."):
        check([good, bad, odd])
