from typing import Any

import pytest
import typer

from cli.release import weight_of


@pytest.mark.parametrize(
    ("text", "share"),
    [("5%", 0.05), ("0.05", 0.05), (" 5 % ", 0.05), ("0", 0), ("1", 1), ("100%", 1), ("12.5%", 0.125), ("1e-3", 0.001)],
)
def test_a_share_is_a_percent_or_a_fraction(text: str, share: float) -> None:
    assert weight_of(text) == pytest.approx(share)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("5", "for 5 percent say 5%"),
        ("500", "or 0% and 100%"),
        ("101%", "not between"),
        ("-0.1", "not between"),
        ("nan", "not between"),
        ("inf%", "not between"),
        ("half", "no share; say 5% or 0.05"),
        ("", "no share"),
        ("%", "no share"),
    ],
)
def test_anything_else_is_no_share(text: str, said: str) -> None:
    with pytest.raises(typer.BadParameter, match=said):
        weight_of(text)


def test_every_move_is_made_recorded_and_shown(lastmile: Any, iris: Any) -> None:
    moves: list[tuple[tuple[object, ...], dict[str, Any]]] = [
        (("canary", "iris", 2, "--weight", "5%"), {"champion": 1, "challenger": 2, "weight": 0.05}),
        (("canary", "iris", "--stop"), {"champion": 1, "challenger": None, "weight": 0}),
        (("canary", "iris", 2), {"challenger": 2, "weight": 0.05}),
        (("rollback", "iris"), {"champion": 1, "challenger": None}),
        (("shadow", "iris", 3), {"shadow": 3}),
        (("shadow", "iris", "--stop"), {"shadow": None}),
        (("promote", "iris", 2), {"champion": 2, "previous": 1}),
        (("rollback", "iris"), {"champion": 1, "previous": None}),
        (("reject", "iris", 3), {"champion": 1}),
    ]
    for number, (words, expected) in enumerate(moves):
        release = lastmile("release", *words, "--why", f"reason {number}", "--json").json
        assert {name: release[name] for name in expected} == expected
        assert release["head"]["why"] == f"reason {number}"
    assert [entry["why"] for entry in lastmile("audit", "iris", "--limit", 9, "--json").json["entries"]] == [
        f"reason {number}" for number in reversed(range(9))
    ]
    assert iris.registry.verify_audit("iris") == []


def test_show_names_what_serves_and_who_changed_it_last(lastmile: Any, iris: Any) -> None:
    lastmile("release", "canary", "iris", 2, "--weight", "0.5", "--why", "half and half")
    shown = lastmile("release", "show", "iris").out
    for line in (
        "champion    1",
        "challenger  2 (50 %)",
        "shadow      -",
        "latest      3",
        "why         half and half",
    ):
        assert line in shown.splitlines()


def test_a_revision_that_has_passed_is_a_conflict(lastmile: Any, iris: Any) -> None:
    assert lastmile("release", "promote", "iris", 2, "--why", "a", "--revision", 1).code == 0
    outcome = lastmile("release", "promote", "iris", 3, "--why", "b", "--revision", 1)
    assert outcome.code == 1
    assert "at revision 2, not 1: somebody else moved it" in outcome.err
    assert "lastmile release show" in outcome.err
    assert iris.registry.audit("iris")[0].outcome == "conflict"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("promote", "iris", 9), "Model 'iris' has no version 9."),
        (("promote", "iris", 3), "was rejected by"),
        (("canary", "iris", 1), "Version 1 is the champion of model 'iris'"),
        (("reject", "iris", 1), "Version 1 is the champion of model 'iris'"),
        (("rollback", "iris"), "no canary and no previous champion"),
        (("rollback", "../iris"), "Model '../iris' does not exist."),
    ],
)
def test_a_move_that_makes_no_sense_is_refused(lastmile: Any, iris: Any, words: tuple[object, ...], said: str) -> None:
    lastmile("release", "reject", "iris", 3, "--why", "bad")
    before = iris.registry.release("iris").serving
    outcome = lastmile("release", *words, "--why", "x")
    assert (outcome.code, outcome.out) == (1, "")
    assert said in outcome.err
    assert iris.registry.release("iris").serving == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("promote", "iris", 2), "Missing option '--why'"),
        (("promote", "iris", "two", "--why", "x"), "Invalid value for 'version'"),
        (("canary", "iris", "--why", "x"), "give either a version or --stop"),
        (("canary", "iris", 2, "--stop", "--why", "x"), "give either a version or --stop"),
        (("shadow", "iris", "--why", "x"), "give either a version or --stop"),
        (("canary", "iris", 2, "--weight", "5", "--why", "x"), "for 5 percent say 5%"),
    ],
)
def test_wrong_usage_has_its_own_exit_code(lastmile: Any, iris: Any, words: tuple[object, ...], said: str) -> None:
    outcome = lastmile("release", *words)
    assert outcome.code == 2
    assert said in outcome.err
