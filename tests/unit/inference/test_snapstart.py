"""What SnapStart runs around the snapshot: https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html"""

from pathlib import Path

import pytest

from functions.inference.door import LambdaDoor
from lastmile.registry import Registry
from lastmile.store import Store
from lastmile.tensors import dump_json
from tests.unit.inference.doors import Sent, event_of, fill, open_serving


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[object]]:
    registered: dict[str, list[object]] = {"before": [], "after": []}
    monkeypatch.setattr("functions.inference.door.register_before_snapshot", registered["before"].append)
    monkeypatch.setattr("functions.inference.door.register_after_restore", registered["after"].append)
    return registered


def test_the_hooks_load_before_the_snapshot_and_look_again_after_it(
    hooks: dict[str, list[object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"LASTMILE_ARTIFACTS": tmp_path.as_uri(), "LASTMILE_CAPTURE": "off", "LASTMILE_RELEASE_SECONDS": "3600"}
    fill(open_serving(environ))
    door = LambdaDoor.open(environ)
    (before,), (after,) = hooks["before"], hooks["after"]
    assert callable(before)
    assert callable(after)

    before()
    with monkeypatch.context() as patched:
        patched.setattr(Registry, "artefact", None)  # the snapshot holds the model
        assert served_version(door) == "1"

    Registry(Store.open(tmp_path.as_uri(), environ={})).promote("digits", 3, actor="test", why="while frozen")
    assert served_version(door) == "1", "the interval has not passed"
    after()
    assert served_version(door) == "3"


def served_version(door: LambdaDoor) -> str:
    body = dump_json({"instances": [[0] * 64]})
    answer = door(event_of(Sent("POST", "/v1/models/digits:predict", body)), None)
    assert answer["statusCode"] == 200
    return str(answer["headers"]["lastmile-version"])
