import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from functions.control.door import LambdaDoor
from lastmile.registry import Registry
from lastmile.store import Store

type Push = Callable[..., Any]
type Open = Callable[[Path], LambdaDoor]

REPOSITORY = Path(__file__).parents[3]
EVENT = json.loads((REPOSITORY / "events/control-http.json").read_bytes())


@pytest.fixture
def open_door() -> Iterator[Open]:
    yield lambda folder: LambdaDoor.open({"LASTMILE_ARTIFACTS": folder.as_uri(), "LASTMILE_DATA": folder.as_uri()})
    asyncio.get_event_loop().close()  # the door's


def test_the_recorded_event_is_answered(tmp_path: Path, push: Push, open_door: Open) -> None:
    registry = Registry(Store.open(tmp_path.as_uri(), environ={}))
    push(registry, name="digits")
    registry.promote("digits", 1, actor="ann", why="because")
    answer = open_door(tmp_path)(EVENT, None)
    assert (answer["statusCode"], json.loads(answer["body"])["champion"]) == (200, 1)


def test_recorded_feedback_is_kept(tmp_path: Path, push: Push, open_door: Open) -> None:
    event = json.loads((REPOSITORY / "events/control-feedback.json").read_bytes())
    push(Registry(Store.open(tmp_path.as_uri(), environ={})), name="digits")
    answer = open_door(tmp_path)(event, None)
    assert (answer["statusCode"], json.loads(answer["body"])) == (202, {"accepted": 2, "new": 2})
    assert len(list((tmp_path / "feedback/model=digits/dt=2025-09-21").iterdir())) == 2


def test_after_a_snapshot_both_stores_are_connected_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_door: Open
) -> None:
    hooks: list[Callable[[], None]] = []
    monkeypatch.setattr("functions.control.door.register_after_restore", hooks.append)
    connected: list[Store] = []
    monkeypatch.setattr(Store, "reconnect", lambda store: connected.append(store))
    open_door(tmp_path)
    for hook in hooks:
        hook()
    assert len(connected) == 2


def test_the_handler_says_what_is_missing_before_anything_else() -> None:
    command = [sys.executable, "-c", "import functions.control.handler"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env={}, check=False)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].endswith("missing environment variables: LASTMILE_ARTIFACTS, LASTMILE_DATA")
