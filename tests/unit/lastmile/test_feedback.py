from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from lastmile.errors import InvalidFeedback
from lastmile.feedback import Feedback, checked, from_bytes, latest, read, write
from lastmile.policies import Feature
from lastmile.spec import ModelSpec
from lastmile.store import Store
from lastmile.tensors import TensorSpec
from lastmile.ulid import new_ulid

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC).timestamp()
PREDICTED = NOW - 3 * 86_400
ID = new_ulid(PREDICTED)
X = TensorSpec("x", "FP32", (-1, 2))
TEXTS = TensorSpec("label", "BYTES", (-1,))
NUMBERS = TensorSpec("label", "INT64", (-1,))
VALUE = TensorSpec("value", "FP32", (-1,))


def document(**changes: Any) -> dict[str, Any]:
    given = {
        "model": "fraud",
        "prediction_id": ID,
        "label": 1,
        "source": "chargebacks",
        "time": "2026-03-14T12:00:00+01:00",
    }
    return {key: value for key, value in (given | changes).items() if value is not None}


def feedback(**changes: Any) -> Feedback:
    return checked(document(**changes), spec=None, now=NOW)


def spec(task: Any, output: TensorSpec) -> ModelSpec:
    return ModelSpec("fraud", task, "Is it?", (X,), (output,))


def test_what_is_said_is_kept() -> None:
    assert feedback(row=2) == Feedback(
        model="fraud",
        prediction_id=ID,
        row=2,
        label=1,
        source="chargebacks",
        time=datetime(2026, 3, 14, 11, tzinfo=UTC).timestamp(),
        received=NOW,
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model": None}, "'model' is missing"),
        ({"model": "../secrets"}, "'model' is no name of a model"),
        ({"model": 7}, "'model' is no name of a model"),
        ({"prediction_id": None}, "'prediction_id' is missing"),
        ({"prediction_id": "abc"}, "'prediction_id' is no ULID"),
        ({"prediction_id": ID.lower()}, "'prediction_id' is no ULID"),
        ({"prediction_id": new_ulid(NOW + 3600)}, "'prediction_id' is of a time that has not come yet"),
        ({"label": None}, "'label' is missing"),
        ({"label": True}, "'label' is a boolean"),
        ({"label": float("nan")}, "'label' is no finite number"),
        ({"label": float("inf")}, "'label' is no finite number"),
        ({"label": 2**63}, "'label' is too large"),
        ({"label": "x" * 1001}, "texts of at most 1000 characters"),
        ({"label": "\ud800"}, "texts of at most 1000 characters"),
        ({"label": []}, "a list of 1 to 1000 texts"),
        ({"label": ["a", 1]}, "texts of at most 1000 characters"),
        ({"label": {"a": 1}}, "'label' must be a text, a number or a list of texts"),
        ({"source": ""}, "'source' must be a text of 1 to 100"),
        ({"source": "\ud800"}, "'source' must be a text of 1 to 100"),
        ({"time": "yesterday"}, "'time' must be a time like"),
        ({"time": "2026-03-14"}, "'time' must be a time like"),
        ({"time": "2026-03-14T15:09:26"}, "'time' must be a time like"),
        ({"time": "2026-02-30T15:09:26Z"}, "'time' is no time that there is"),
        ({"time": 1_773_500_000}, "'time' must be a time like"),
        ({"time": "2026-03-14T15:20:26Z"}, "'time' has not come yet"),
        ({"row": -1}, "'row' must be an integer"),
        ({"row": True}, "'row' must be an integer"),
        ({"row": 1.0}, "'row' must be an integer"),
        ({"labels": 1}, "'labels' is unknown"),
        ({"groups": ["old"]}, "'groups' must be an object of at most 20 texts"),
        ({"groups": {str(n): "x" for n in range(21)}}, "'groups' must be an object of at most 20 texts"),
        ({"groups": {"age": 70}}, "'groups.age' must be a text of at most 100"),
        ({"groups": {"age": "\ud800"}}, "'groups.age' must be a text of at most 100"),
    ],
)
def test_a_bad_label_is_refused_with_a_sentence(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidFeedback, match=problem):
        feedback(**changes)


@pytest.mark.parametrize(
    ("task", "output", "fits", "does_not"),
    [
        ("classification", TEXTS, "fraud", 1),
        ("classification", NUMBERS, 1, "1"),
        ("classification", NUMBERS, 0, 0.5),
        ("classification", VALUE, "anything", 0.5),
        ("anomaly", NUMBERS, 1, 2),
        ("anomaly", NUMBERS, 0, "0"),
        ("regression", VALUE, 1.5, "1.5"),
        ("forecast", VALUE, 3, ["3"]),
        ("recommendation", TEXTS, ["a", "b"], 3),
        ("recommendation", TEXTS, "a", 1.5),
    ],
)
def test_a_label_must_be_of_the_kind_of_the_outputs(task: Any, output: TensorSpec, fits: Any, does_not: Any) -> None:
    assert checked(document(label=fits), spec=spec(task, output), now=NOW).label == fits
    with pytest.raises(InvalidFeedback, match="'label' must be .* for this model"):
        checked(document(label=does_not), spec=spec(task, output), now=NOW)


def test_groups_are_those_that_the_spec_knows_and_the_model_does_not() -> None:
    of = replace(spec("anomaly", NUMBERS), features={"age": Feature(sensitive=True), "x": Feature(sensitive=True)})
    assert checked(document(groups={"age": "70+"}), spec=of, now=NOW).groups == {"age": "70+"}
    for name in ("x", "sex"):
        with pytest.raises(InvalidFeedback, match=f"'groups.{name}' is no sensitive column .* there are: age"):
            checked(document(groups={name: "f"}), spec=of, now=NOW)


def test_a_label_without_groups_is_the_object_that_it_always_was() -> None:
    assert feedback().path == feedback(groups={}).path != feedback(groups={"age": "70+"}).path
    assert from_bytes(orjson.dumps({**asdict(feedback()), "groups": {"age": "70+"}})) == feedback(groups={"age": "70+"})
    before = {key: value for key, value in asdict(feedback()).items() if key != "groups"}
    assert from_bytes(orjson.dumps(before)) == feedback()


def test_the_same_feedback_twice_is_one_object(store: Store) -> None:
    assert write(store, [feedback(), feedback(row=1)]) == 2
    later = [replace(one, received=NOW + 60) for one in (feedback(), feedback(row=1))]
    assert write(store, later) == 0
    assert sorted(read(store, "fraud", PREDICTED - 1, NOW), key=lambda one: one.row) == [feedback(), feedback(row=1)]


def test_feedback_is_found_by_the_time_of_its_prediction_alone(store: Store) -> None:
    write(store, [feedback(), feedback(prediction_id=new_ulid(PREDICTED - 1)), feedback(model="other")])
    assert read(store, "fraud", PREDICTED - 0.5, PREDICTED + 0.5) == [feedback()]
    assert read(store, "fraud", PREDICTED + 1, NOW) == []
    assert len(read(store, "fraud", PREDICTED - 2 * 86_400, NOW)) == 2


def test_feedback_that_is_removed_while_it_is_read_is_left_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write(store, [feedback()])
    monkeypatch.setattr(store, "list", lambda folder: [feedback().path, feedback(row=1).path])
    assert read(store, "fraud", PREDICTED, PREDICTED + 1) == [feedback()]


def test_strange_objects_among_the_feedback_are_left_out(store: Store) -> None:
    write(store, [feedback()])
    place = feedback().path.rpartition("/")[0]
    for name, data in (
        (f"{ID}-1.json", b"{}"),
        (f"{ID}-2.json", b"not JSON"),
        (f"{ID}-3.json", b"[]"),
        ("readme.json", b"{}"),
        (f"{ID}-4.json", orjson.dumps({"model": "other", **dict.fromkeys(("row", "label", "time", "received"), 0)})),
    ):
        store.create(f"{place}/{name}", data)
    assert read(store, "fraud", PREDICTED - 1, NOW) == [feedback()]


def test_the_later_label_counts_and_the_other_is_counted() -> None:
    early = feedback(label=0, time="2026-03-12T00:00:00Z")
    late = feedback(label=1, time="2026-03-13T00:00:00Z")
    other = feedback(row=1)
    for order in ([early, late, other], [other, late, early]):
        assert latest(order) == ({(ID, 0): late, (ID, 1): other}, 1)


def test_of_one_time_the_label_received_later_counts() -> None:
    first, second = feedback(label=0), replace(feedback(label=1), received=NOW + 1)
    assert latest([second, first])[0] == latest([first, second])[0] == {(ID, 0): second}


def test_what_is_written_can_be_read() -> None:
    for label in (1, 0.5, "fraud", ["a", "b"]):
        one = feedback(label=label)
        assert from_bytes(orjson.dumps(one)) == one
