from typing import Any

import pytest

from cli import people
from cli.errors import CommandFailed
from cli.people import allow_locally, change, known
from cli.target import Options, Target
from tests.unit.cli.test_connections import target as target

ANN = "slack:T1:U1"


@pytest.fixture
def context(target: Target, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(Options, "target", lambda self: target)

    class Given:
        obj = Options(json=True)

    return Given()


def test_a_person_is_allowed_and_denied(context: Any, target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    people.allow(context, ANN, ["approve", "read"])
    people.allow(context, "standard:u-7", ["read"])
    assert known(target) == {ANN: "read approve", "standard:u-7": "read"}
    people.allow(context, ANN, ["read"])
    people.people(context)
    people.deny(context, "standard:u-7")
    assert known(target) == {ANN: "read"}
    assert '"standard:u-7"' in capsys.readouterr().out


@pytest.mark.parametrize("before", [None, {ANN: "read"}], ids=["the first", "others"])
def test_nobodys_change_is_lost(target: Target, before: dict[str, str] | None) -> None:
    if before is not None:
        change(target, lambda found: before)
    others = [{"slack:T1:U2": "read"}, {"slack:T1:U3": "approve"}]

    def overtaken(found: dict[str, str]) -> dict[str, str]:
        if others:
            one = others.pop()
            change(target, lambda found: found | one)
        return found | {"standard:you": "operate"}

    change(target, overtaken)
    expected = {"slack:T1:U2": "read", "slack:T1:U3": "approve", "standard:you": "operate"}
    assert known(target) == (before or {}) | expected

    def always_overtaken(found: dict[str, str]) -> dict[str, str]:
        change(target, lambda found: found)
        return found

    with pytest.raises(CommandFailed, match="Too many write at once"):
        change(target, always_overtaken)


def test_what_is_no_scope_and_no_person_is_named(context: Any) -> None:
    with pytest.raises(CommandFailed, match="'aprove' is none of read, operate, approve"):
        people.allow(context, ANN, ["aprove"])
    for person in ("U1", "zendesk:1", "slack:"):
        with pytest.raises(CommandFailed, match="is no person"):
            people.allow(context, person, ["read"])
    with pytest.raises(CommandFailed, match="may nothing already"):
        people.deny(context, ANN)


def test_at_home_the_one_at_the_machine_may_everything_until_somebody_says_otherwise(target: Target) -> None:
    allow_locally(target)
    assert known(target)[ANN] == "read operate approve"
    change(target, lambda found: {ANN: "read"})
    allow_locally(target)
    assert known(target) == {ANN: "read"}
