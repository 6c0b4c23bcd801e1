from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import orjson
import pytest

from functions.control import documents
from lastmile.errors import StoreUnavailable
from lastmile.registry import Registry

type Call = Callable[..., Any]
type Push = Callable[..., Any]

BECAUSE: dict[str, Any] = {"why": "because"}
BY: dict[str, Any] = {"actor": "ann", "why": "because"}
MANY = dict.fromkeys(map(str, range(999)), 0)


@pytest.fixture(autouse=True)
def three_versions(registry: Registry, push: Push) -> None:
    for number in range(3):
        push(registry, b"%d" % number)


def as_json(value: object) -> Any:
    return orjson.loads(orjson.dumps(value))


def test_all_models_are_listed_with_their_releases(call: Call, registry: Registry, push: Push) -> None:
    for name in ("alpha", "zulu"):
        push(registry, name=name)
    answer = call("GET", "/control/models")
    assert answer.status == 200
    assert answer.body == {
        "models": [as_json(asdict(registry.release(name))) for name in ("alpha", "fraud", "zulu")],
        "next": None,
    }


def test_models_come_in_pages(call: Call, registry: Registry, push: Push) -> None:
    for name in ("alpha", "zulu"):
        push(registry, name=name)
    first = call("GET", "/control/models", limit=2).body
    assert ([release["model"] for release in first["models"]], first["next"]) == (["alpha", "fraud"], "fraud")
    second = call("GET", "/control/models", limit=2, after=first["next"]).body
    assert ([release["model"] for release in second["models"]], second["next"]) == (["zulu"], None)


def test_a_model_shows_its_spec_and_release(call: Call, registry: Registry) -> None:
    answer = call("GET", "/control/models/fraud")
    assert answer.body == {
        "model": "fraud",
        "spec": as_json(registry.spec("fraud").to_document()),
        "release": as_json(asdict(registry.release("fraud"))),
    }


def test_a_model_whose_first_push_was_cut_short_has_no_spec(
    call: Call, registry: Registry, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry._shelf, "write_version", cut)
    with pytest.raises(KeyboardInterrupt):
        push(registry, name="new")
    answer = call("GET", "/control/models/new")
    assert (answer.status, answer.body["spec"], answer.body["release"]["latest"]) == (200, None, 0)


def test_versions_show_manifest_metrics_lineage_and_rejection(call: Call, registry: Registry) -> None:
    registry.reject("fraud", 2, actor="eve", why="unfair")
    answer = call("GET", "/control/models/fraud/versions")
    assert [version["version"] for version in answer.body["versions"]] == [3, 2, 1]
    for version in answer.body["versions"]:
        manifest = registry.manifest("fraud", version["version"])
        rejected = registry.rejection("fraud", version["version"])
        assert version == as_json(manifest.to_document() | {"rejected": rejected})
        assert version["metrics"] == {"auc": 0.9}
        assert version["lineage"] == {"commit": "abc"}
    assert answer.body["versions"][1]["rejected"]["why"] == "unfair"
    single = call("GET", "/control/models/fraud/versions/2")
    assert single.body == answer.body["versions"][1]


def test_versions_come_in_pages(call: Call) -> None:
    for before, expected, following in ((4, [3, 2], 2), (3, [2, 1], None), (1, [], None)):
        page = call("GET", "/control/models/fraud/versions", limit=2, before=before).body
        assert ([version["version"] for version in page["versions"]], page["next"]) == (expected, following)


def test_pages_are_shorter_where_they_would_be_longer_than_lambda_may_answer(
    call: Call, registry: Registry, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(registry, name="other")
    monkeypatch.setattr(documents, "MOST_BYTES", 2000)
    first = call("GET", "/control/models/fraud/versions", limit=3).body
    assert ([version["version"] for version in first["versions"]], first["next"]) == ([3, 2], 2)
    last = call("GET", "/control/models/fraud/versions", limit=3, before=first["next"]).body
    assert ([version["version"] for version in last["versions"]], last["next"]) == ([1], None)
    monkeypatch.setattr(documents, "MOST_BYTES", 10)
    page = call("GET", "/control/models", limit=2).body
    assert ([release["model"] for release in page["models"]], page["next"]) == (["fraud"], "fraud")


def test_the_release_is_shown_as_it_is(call: Call, registry: Registry) -> None:
    registry.promote("fraud", 1, **BY)
    registry.canary("fraud", 2, weight=0.25, **BY)
    answer = call("GET", "/control/models/fraud/release")
    assert answer.body == as_json(asdict(registry.release("fraud")))


def test_the_audit_comes_in_pages(call: Call, registry: Registry) -> None:
    whole = call("GET", "/control/models/fraud/audit").body["entries"]
    assert whole == as_json([asdict(entry) for entry in registry.audit("fraud")])
    first = call("GET", "/control/models/fraud/audit", limit=2).body
    rest = call("GET", "/control/models/fraud/audit", before=first["next"]).body
    assert first["entries"] + rest["entries"] == whole
    assert rest["next"] is None


def test_every_order_moves_the_release_and_names_its_caller_in_the_audit(call: Call, registry: Registry) -> None:
    orders: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("versions/1/promote", BECAUSE, {"champion": 1}),
        ("versions/2/promote", BECAUSE | {"expected_revision": 1.0}, {"champion": 2, "previous": 1}),
        ("canary", BECAUSE | {"version": 3, "weight": 0.25}, {"challenger": 3, "weight": 0.25}),
        ("canary", BECAUSE | {"version": 3, "weight": 1}, {"challenger": 3, "weight": 1.0}),
        ("canary", BECAUSE | {"version": None, "weight": 0}, {"challenger": None, "weight": 0.0}),
        ("shadow", BECAUSE | {"version": 3}, {"shadow": 3}),
        ("shadow", BECAUSE, {"shadow": None}),
        ("rollback", BECAUSE | {"expected_revision": 7}, {"champion": 1, "previous": None}),
        ("versions/3/reject", BECAUSE, {"champion": 1}),
    ]
    for number, (path, body, expected) in enumerate(orders, 1):
        answer = call("POST", f"/control/models/fraud/{path}", body)
        assert answer.status == 200, answer.body
        assert answer.body == as_json(asdict(registry.release("fraud")))
        assert answer.body["revision"] == number
        assert expected.items() <= answer.body.items()
        entry = answer.body["head"]
        assert (entry["actor"], entry["why"], entry["outcome"]) == ("client:7example23client45", "because", "done")
    assert registry.verify_audit("fraud") == []


def test_the_actor_comes_from_the_token_and_never_from_the_body(call: Call) -> None:
    path = "/control/models/fraud/versions/1/promote"
    forged = call("POST", path, BECAUSE | {"actor": "somebody else"})
    assert (forged.status, forged.body["error"]) == (422, "body.actor: Extra inputs are not permitted")
    person = call("POST", path, BECAUSE, claims={"username": "ann", "sub": "1234"})
    assert person.body["head"]["actor"] == "user:ann"


def test_a_lost_race_is_a_409_and_in_the_audit(call: Call) -> None:
    answer = call("POST", "/control/models/fraud/versions/1/promote", BECAUSE | {"expected_revision": 9})
    assert answer.status == 409
    assert "is at revision 0, not 9" in answer.body["error"]
    entry = call("GET", "/control/models/fraud/audit", limit=1).body["entries"][0]
    assert (entry["action"], entry["outcome"], entry["actor"]) == ("promote", "conflict", "client:7example23client45")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("GET", "/control/models/nothing", None, 404, "model 'nothing' does not exist"),
        ("GET", "/control/models/..%2ffraud/release", None, 404, "no route answers"),
        ("GET", "/control/models/../release", None, 404, "model '..' does not exist"),
        ("GET", "/control/models/fraud/versions/9", None, 404, "model 'fraud' has no version 9"),
        ("GET", "/control/models/fraud/versions/x", None, 422, "path.version: Input should be a valid integer"),
        ("GET", "/control/models/fraud/versions/0", None, 422, "path.version: Input should be greater"),
        ("POST", "/control/models/fraud/versions/9/promote", BECAUSE, 404, "has no version 9"),
        ("POST", "/control/models/fraud/versions/1/promote", {}, 422, "body.why: Field required"),
        ("POST", "/control/models/fraud/versions/1/promote", {"why": " "}, 422, "body.why: String should match"),
        ("POST", "/control/models/fraud/versions/1/promote", {"why": 5}, 422, "body.why: Input should be a valid"),
        ("POST", "/control/models/fraud/versions/1/promote", {"why": "\ud800"}, 422, "body.why: "),
        ("POST", "/control/models/fraud/versions/1/promote", {"why": "x" * 2001}, 422, "body.why: String should have"),
        ("POST", "/control/models/fraud/versions/1/promote", BECAUSE | {"expected_revision": "1"}, 422, "body.exp"),
        ("POST", "/control/models/fraud/versions/1/promote", "[]", 422, "body: "),
        ("POST", "/control/models/fraud/versions/1/promote", "{", 400, "the body is not JSON"),
        ("POST", "/control/models/fraud/rollback", MANY, 422, "body: Value error, 999 members are too many"),
        ("POST", "/v1/feedback", MANY, 422, "body: Value error, 999 members are too many"),
        ("POST", "/control/models/fraud/versions/1/promote", "[" * 100_000, 400, ""),
        ("POST", "/control/models/fraud/versions/1/promote", None, 422, "body: Field required"),
        ("POST", "/control/models/fraud/canary", BECAUSE | {"version": 1}, 422, "body.weight: Field required"),
        ("POST", "/control/models/fraud/canary", BECAUSE | {"version": 1, "weight": 1.5}, 422, "body.weight: "),
        ("POST", "/control/models/fraud/canary", BECAUSE | {"version": 1, "weight": "1"}, 422, "body.weight: "),
        ("POST", "/control/models/fraud/canary", BECAUSE | {"version": True, "weight": 1}, 422, "body.version: "),
        ("POST", "/control/models/fraud/canary", '{"why":"w","version":1,"weight":NaN}', 422, "body.weight: "),
        ("POST", "/control/models/fraud/canary", BECAUSE | {"version": 1, "weight": 0.5}, 409, "has no champion"),
        ("POST", "/control/models/fraud/rollback", BECAUSE, 409, "no canary and no previous champion"),
        ("GET", "/control/models/fraud/audit", None, 404, "has no audit entry"),
        ("GET", "/nowhere", None, 404, "no route answers: GET /nowhere"),
        ("DELETE", "/control/models/fraud", None, 405, "Method Not Allowed: DELETE /control/models/fraud"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_a_4xx_that_says_so(
    call: Call, method: str, path: str, body: object, status: int, error: str
) -> None:
    query = {"before": "01ARZ3NDEKTSV4RRFFQ69G5FAV"} if path.endswith("/audit") else {}
    answer = call(method, path, body, **query)
    assert answer.status == status
    assert list(answer.body) == ["error"]
    assert error in answer.body["error"]


@pytest.mark.parametrize(
    ("path", "query", "error"),
    [
        ("versions", {"limit": 0}, "query.limit: "),
        ("versions", {"limit": 101}, "query.limit: "),
        ("versions", {"before": "x"}, "query.before: "),
        ("audit", {"before": "../../x"}, "query.before: String should match pattern"),
        ("audit", {"limit": "many"}, "query.limit: "),
        ("audit", {"befor": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}, "query.befor: Extra inputs are not permitted"),
    ],
)
def test_a_page_that_cannot_be_is_refused(call: Call, path: str, query: dict[str, Any], error: str) -> None:
    answer = call("GET", f"/control/models/fraud/{path}", **query)
    assert answer.status == 422
    assert answer.body["error"].startswith(error)


def test_a_rejected_version_is_a_409(call: Call) -> None:
    call("POST", "/control/models/fraud/versions/3/reject", {"why": "unfair"})
    answer = call("POST", "/control/models/fraud/versions/3/promote", BECAUSE)
    assert answer.status == 409
    assert "was rejected by client:7example23client45: unfair" in answer.body["error"]


def test_a_dead_store_is_a_503_that_gives_no_addresses_away(
    call: Call, registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(path: str) -> None:
        raise StoreUnavailable("s3://our-secret-bucket does not answer")

    monkeypatch.setattr(registry._store, "get", fail)
    answer = call("GET", "/control/models/fraud/release")
    assert (answer.status, answer.body) == (503, {"error": "the registry does not answer; try again"})
    assert [vars(record).get("reason") for record in caplog.records] == ["s3://our-secret-bucket does not answer", None]
    answer = call("POST", "/control/models/fraud/rollback", BECAUSE)
    assert answer.status == 503
    assert "look at the release to see whether the order was carried out" in answer.body["error"]


def test_what_somebody_has_done_to_the_registry_is_a_500_that_names_the_object(call: Call, registry: Registry) -> None:
    registry._store.put("models/fraud/release.json", b"{")
    for path in ("", "/fraud", "/fraud/audit", "/fraud/versions"):
        answer = call("GET", f"/control/models{path}")
        assert answer.status == 500
        assert answer.body["error"].startswith("models/fraud/release.json is no release: JSONDecodeError: ")


def test_what_nobody_foresaw_is_a_500_with_an_id_that_the_log_knows(
    call: Call, registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(path: str) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(registry._store, "get", fail)
    answer = call("GET", "/control/models/fraud/release")
    assert answer.status == 500
    assert answer.body == {"error": "internal error", "id": answer.body["id"]}
    unexpected = caplog.records[0]
    assert vars(unexpected)["incident"] == answer.body["id"]
    assert str((unexpected.exc_info or (None, None))[1]) == "a secret"


def test_every_request_is_one_line_in_the_log(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    call("GET", "/control/models/nothing")
    (record,) = caplog.records
    told = {"method": "GET", "path": "/control/models/nothing", "status": 404, "request_id": "QxT5bjx1liAEPYQ="}
    assert record.message == "request"
    assert vars(record).items() >= told.items()


def test_the_function_can_be_called_again_and_again(call: Call) -> None:
    assert {call("GET", "/control/models").status for _ in range(5)} == {200}
