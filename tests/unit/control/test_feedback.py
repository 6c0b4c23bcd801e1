import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from lastmile import feedback
from lastmile.registry import Registry
from lastmile.store import Store
from lastmile.ulid import new_ulid

type Push = Callable[..., Any]
type Call = Callable[..., Any]

ID = new_ulid(time.time() - 3600)
KNOWN_AT = datetime.fromtimestamp(time.time() - 60, UTC).isoformat()


def label(**changes: Any) -> dict[str, Any]:
    return {"model": "fraud", "prediction_id": ID, "label": 1, "source": "review", "time": KNOWN_AT} | changes


def kept(data: Store) -> list[feedback.Feedback]:
    return feedback.read(data, "fraud", time.time() - 7200, time.time())


@pytest.fixture(autouse=True)
def fraud(registry: Registry, push: Push) -> None:
    push(registry, name="fraud")


def test_one_label_is_kept(call: Call, data: Store) -> None:
    answer = call("POST", "/v1/feedback", label(row=2))
    assert (answer.status, answer.body) == (202, {"accepted": 1, "new": 1})
    (one,) = kept(data)
    assert (one.prediction_id, one.row, one.label, one.source) == (ID, 2, 1, "review")
    assert abs(one.received - time.time()) < 60


def test_groups_must_be_those_of_the_spec(call: Call, data: Store) -> None:
    answer = call("POST", "/v1/feedback", label(groups={"age": "70+"}))
    assert answer.status == 422
    assert "'groups.age' is no sensitive column beside the inputs; there are: none" in str(answer.body)
    assert kept(data) == []


def test_a_list_is_kept_and_sending_it_again_changes_nothing(call: Call, data: Store) -> None:
    batch = [label(row=row) for row in range(3)]
    assert call("POST", "/v1/feedback", batch).body == {"accepted": 3, "new": 3}
    before = kept(data)
    assert call("POST", "/v1/feedback", batch).body == {"accepted": 3, "new": 0}
    assert kept(data) == before


def test_another_label_is_kept_beside_the_first(call: Call, data: Store) -> None:
    call("POST", "/v1/feedback", label())
    assert call("POST", "/v1/feedback", label(label=0)).body == {"accepted": 1, "new": 1}
    assert sorted(str(one.label) for one in kept(data)) == ["0", "1"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("{", 400, "the body is not JSON"),
        (label(label=0.5), 422, "body: 'label' must be a text or an integer for this model"),
        (label(time="2999-01-01T00:00:00Z"), 422, "body: 'time' has not come yet"),
        (label(prediction_id=new_ulid(time.time() + 3600)), 422, "is of a time that has not come yet"),
        (label(prediction_id="x"), 422, "prediction_id"),
        (label(model="nobody"), 404, "model 'nobody' does not exist"),
        (label(model="../audit"), 422, "model"),
        (label(label=True), 422, "label"),
        (label(surprise=1), 422, "surprise"),
        ([], 422, "at least 1 item"),
        ([label()] * 501, 422, "at most 500 items"),
        ([label(), label(label=0.5)], 422, "body[1]: 'label' must be"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_kept(
    call: Call, data: Store, body: object, status: int, said: str
) -> None:
    answer = call("POST", "/v1/feedback", body)
    assert (answer.status, said in answer.body["error"]) == (status, True), answer.body
    assert kept(data) == []


def test_the_name_of_a_group_that_is_no_text_is_refused(call: Call, data: Store) -> None:
    answer = call("POST", "/v1/feedback", label(groups={"\ud800": "x"}))
    assert answer.status == 422
    assert "'groups.?'" in answer.body["error"]
    assert list(data.list("feedback")) == []


def test_the_scope_is_needed(call: Call, data: Store) -> None:
    assert call("POST", "/v1/feedback", label(), scope=None).status == 401
    answer = call("POST", "/v1/feedback", label(), scope="lastmile/infer lastmile/read")
    assert (answer.status, answer.body["error"]) == (403, "the token needs the scope lastmile/feedback")
    assert kept(data) == []


def test_a_model_whose_first_push_was_cut_short_takes_any_kind_of_label(
    call: Call, data: Store, registry: Registry, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry._shelf, "write_version", cut)
    with pytest.raises(KeyboardInterrupt):
        push(registry, name="new")
    assert call("POST", "/v1/feedback", label(model="new", label=0.5)).status == 202


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([label(prediction_id="x")], "body.0.prediction_id: String should match"),
        (label(prediction_id="x"), "body.prediction_id: String should match"),
        (5, "body: Input should be a valid dictionary"),
    ],
    ids=["list", "object", "neither"],
)
def test_a_wrong_field_is_named_by_where_it_stands(call: Call, body: Any, said: str) -> None:
    answer = call("POST", "/v1/feedback", body)
    assert answer.status == 422
    assert answer.body["error"].startswith(said)
    assert "Feedback" not in answer.body["error"].partition("Input should")[0]
