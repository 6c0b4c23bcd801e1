"""The same commands through the deployed control API and on the registry itself."""

from typing import Any

import pytest

from cli.control import PAGE
from lastmile.protocols.messages import Response
from tests.unit.cli.conftest import Api

ORDERS: list[tuple[tuple[object, ...], str]] = [
    (("canary", "iris", 2, "--weight", "5%"), "operate"),
    (("canary", "iris", "--stop"), "operate"),
    (("shadow", "iris", 3), "operate"),
    (("shadow", "iris", "--stop"), "operate"),
    (("promote", "iris", 2), "approve"),
    (("rollback", "iris"), "operate"),
    (("reject", "iris", 3), "approve"),
]
READS = [("models",), ("versions", "iris"), ("release", "show", "iris"), ("audit", "iris")]


def test_every_order_asks_for_exactly_the_scope_it_needs(lastmile: Any, api: Any) -> None:
    for words, scope in ORDERS:
        release = lastmile("release", *words, "--why", "because", "--json").json
        assert api.calls[-1].headers["authorization"] == f"Bearer lastmile/{scope}"
        assert (release["head"]["action"], release["head"]["why"]) == (words[0], "because")
        assert release["head"]["actor"] == "client:client"  # the token's, whatever the user is called here
    for words in READS:
        assert lastmile(*words).code == 0
        assert api.calls[-1].headers["authorization"] == "Bearer lastmile/read"


def test_the_api_and_the_registry_give_the_same_documents(lastmile: Any, api: Any, iris: Any) -> None:
    lastmile("release", "canary", "iris", 2, "--weight", "5%", "--why", "try")
    lastmile("release", "reject", "iris", 3, "--why", "bad")
    for words in READS:
        through_api = lastmile(*words, "--json")
        assert through_api.code == 0
        assert lastmile(*words, "--json", "--registry", iris.registry_folder).json == through_api.json


def test_a_revision_that_has_passed_is_a_conflict_with_the_next_step(lastmile: Any, api: Any, iris: Any) -> None:
    outcome = lastmile("release", "promote", "iris", 2, "--why", "late", "--revision", 0)
    assert outcome.code == 1
    assert "is at revision 1, not 0: somebody else moved it" in outcome.err
    assert "(HTTP 409).\n→ See `lastmile release show <model>`, then decide again." in outcome.err
    assert iris.registry.audit("iris")[0].outcome == "conflict"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("promote", "iris", 9), "Model 'iris' has no version 9 (HTTP 404)."),
        (("show", "rose"), "Model 'rose' does not exist (HTTP 404)."),
        (("show", "a/b?c"), "HTTP 404"),
        (("canary", "iris", 1), "Version 1 is the champion of model 'iris'"),
        (
            ("promote", "iris", 2, "--why", "x" * 2001),
            "Body.why: String should have at most 2000",
        ),
    ],
)
def test_a_refusal_of_the_api_is_one_sentence(lastmile: Any, api: Any, words: Any, said: str) -> None:
    why = () if words[0] == "show" or "--why" in words else ("--why", "x")
    outcome = lastmile("release", *words, *why)
    assert (outcome.code, outcome.out) == (1, "")
    assert said in outcome.err
    assert "Traceback" not in outcome.err


def test_long_lists_come_in_pages(lastmile: Any, api: Any, iris: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(PAGE // 2 + 1):
        iris.registry.shadow("iris", 2, actor="me", why=f"on {number}")
        iris.registry.shadow("iris", None, actor="me", why=f"off {number}")
    wanted = PAGE + 3
    entries = lastmile("audit", "iris", "--limit", wanted, "--json").json["entries"]
    assert [entry["id"] for entry in entries] == [entry.id for entry in iris.registry.audit("iris", limit=wanted)]
    assert [call.query.partition("&")[0] for call in api.calls] == [f"limit={PAGE}", "limit=3"]
    everything = lastmile("audit", "iris", "--limit", 1000, "--json").json["entries"]
    assert len(everything) == len(iris.registry.audit("iris", limit=1000))
    monkeypatch.setattr("functions.control.documents.MOST_BYTES", 10)
    for words in (("versions", "iris"), ("models",)):
        assert lastmile(*words, "--json").json == lastmile(*words, "--json", "--registry", iris.registry_folder).json
    assert [call.query.partition("&")[2] for call in api.calls[-4:-1]] == ["", "before=3", "before=2"]


def test_promote_after_a_push_goes_through_the_api(
    lastmile: Any, api: Any, iris: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version is written with the user's own credentials, but who makes it champion is for the API to allow."""
    monkeypatch.setattr("cli.target.Target.registry", lambda target: iris.registry)
    outcome = lastmile("push", iris.model(4), "--spec", iris.spec, "--promote", "--why", "better")
    assert outcome.code == 0
    assert api.calls[-1].headers["authorization"] == "Bearer lastmile/approve"
    newest, before = iris.registry.audit("iris", limit=2)
    assert (newest.action, newest.actor, newest.version) == ("promote", "client:client", 4)
    assert (before.action, before.why) == ("register", "better")
    assert "@" in before.actor


def test_a_user_without_a_name_is_told_by_number(lastmile: Any, iris: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 987_654_321)
    release = lastmile("release", "promote", "iris", 2, "--why", "x", "--json").json
    assert release["head"]["actor"].startswith("uid-987654321@")


def test_a_control_api_of_other_documents_is_named(lastmile: Any, serve: Any) -> None:
    serve(Api([("/control", "", lambda request: Response(200, {}, b'{"models": [], "versions": [], "entries": []}'))]))
    for words in (("models",), ("versions", "iris"), ("audit", "iris"), ("runs", "iris")):
        outcome = lastmile(*words)
        assert (outcome.code, outcome.out) == (3, "")
        assert "answers 200 with another document than expected.\n→ Run `lastmile doctor`." in outcome.err


@pytest.mark.parametrize(
    ("uri", "said"),
    [("", "--registry is empty."), ("memory://", "--registry memory:// is gone when the command ends.")],
)
def test_a_registry_that_is_nowhere_is_none(
    lastmile: Any, workspace: Any, monkeypatch: pytest.MonkeyPatch, uri: str, said: str
) -> None:
    monkeypatch.chdir(workspace.root)
    outcome = lastmile("push", workspace.model(), "--spec", workspace.spec, "--registry", uri)
    assert (outcome.code, said in outcome.err) == (1, True)
    assert not (workspace.root / "models").exists()
