import gzip
import json

import numpy as np
import pytest

from lastmile.feedback import Feedback
from lastmile.labelled import Join, joined
from lastmile.store import Store
from lastmile.ulid import new_ulid
from tests.unit.watching import HOUR, NOW, predicted, spec, store_captures


@pytest.fixture
def store() -> Store:
    return Store.open("memory://", environ={})


def label(prediction_id: str, value: int = 1, *, row: int = 0, time: float = NOW) -> Feedback:
    return Feedback("fraud", prediction_id, row, value, "review", time, time)


def test_a_label_meets_the_row_that_its_id_and_row_name(store: Store) -> None:
    one, line = predicted(np.array([1, 9]), ["DE", "FR"], at=NOW - HOUR)
    other, another = predicted(np.array([5]), ["DE"], at=NOW - 2 * HOUR)
    store_captures(store, [line], at=NOW - HOUR)
    store_captures(store, [another], at=NOW - 2 * HOUR)
    join = joined(store, "fraud", [label(one, row=1), label(other, 0)])
    assert [(row.feedback.prediction_id, row.version, row.role) for row in join.rows] == [
        (other, 1, "champion"),
        (one, 1, "champion"),
    ]
    second = join.rows[1]
    assert (float(second.inputs["amount"]), str(second.inputs["country"])) == (9.0, "FR")
    assert (int(second.outputs["label"]), second.outputs["probabilities"].shape) == (1, (2,))
    assert join == Join(rows=join.rows)


def test_only_the_hours_that_the_ids_name_are_read(store: Store, watched: type) -> None:
    prediction_id, line = predicted(np.array([1]), ["DE"], at=NOW - HOUR / 2)
    for hour in range(5):
        store_captures(store, [line] if hour == 0 else [], at=NOW - HOUR / 2 - hour * HOUR)
    counting = watched(store)
    joined(counting, "fraud", [label(prediction_id)])
    assert [method for method, _ in counting.calls] == ["list", "get"]


def test_an_id_at_the_border_of_an_hour_is_found_on_either_side(store: Store) -> None:
    prediction_id, line = predicted(np.array([1]), ["DE"], at=NOW + 1, prediction_id=new_ulid(NOW - 1))
    store_captures(store, [line], at=NOW + 1)
    assert len(joined(store, "fraud", [label(prediction_id)]).rows) == 1


def test_an_id_is_found_however_much_a_line_says_before_it(store: Store) -> None:
    prediction_id, line = predicted(np.array([1]), ["DE"], at=NOW)
    document = json.loads(line)
    longer = {"marker": document["marker"], "types": {f"column_{number}": "<f4" for number in range(100)}} | document
    store_captures(store, [json.dumps(longer).encode() + b"\n"], at=NOW)
    assert len(joined(store, "fraud", [label(prediction_id)]).rows) == 1


def test_an_id_that_nobody_knows_is_kept_apart(store: Store) -> None:
    unknown = label(new_ulid(NOW))
    assert joined(store, "fraud", [unknown]) == Join(unknown=[unknown])


def test_rows_that_were_not_kept_are_kept_apart(store: Store) -> None:
    short, line = predicted(np.array([1]), ["DE"], at=NOW)
    sampled, unsampled = predicted(np.array([1]), ["DE"], at=NOW, of=spec(capture=spec().capture.__class__(rate=0.0)))
    failed, failure = predicted(np.array([1]), ["DE"], at=NOW, outputs={}, error="the model failed")
    store_captures(store, [line, unsampled, failure], at=NOW)
    labels = [label(short, row=1), label(sampled), label(failed)]
    join = joined(store, "fraud", labels)
    assert (join.rows, sorted(join.not_kept, key=labels.index)) == ([], labels)


def test_a_shadow_answers_the_same_request_and_is_a_row_of_its_own(store: Store) -> None:
    prediction_id, line = predicted(np.array([1]), ["DE"], at=NOW)
    _, shadow = predicted(np.array([1]), ["DE"], at=NOW, version=2, role="shadow", prediction_id=prediction_id)
    store_captures(store, [line, shadow], at=NOW)
    join = joined(store, "fraud", [label(prediction_id)])
    assert [(row.version, row.role) for row in join.rows] == [(1, "champion"), (2, "shadow")]


def test_what_is_stored_twice_is_one_row(store: Store) -> None:
    prediction_id, line = predicted(np.array([1]), ["DE"], at=NOW)
    store_captures(store, [line, line], at=NOW, batch="a")
    store_captures(store, [line], at=NOW, batch="b")
    assert len(joined(store, "fraud", [label(prediction_id)]).rows) == 1


def test_a_label_that_was_corrected_counts_once(store: Store) -> None:
    prediction_id, line = predicted(np.array([1]), ["DE"], at=NOW)
    store_captures(store, [line], at=NOW)
    join = joined(store, "fraud", [label(prediction_id, 0), label(prediction_id, 1, time=NOW + 1)])
    assert ([row.feedback.label for row in join.rows], join.overruled) == ([1], 1)


def test_of_an_object_that_is_half_there_the_first_half_counts(store: Store) -> None:
    pairs = [predicted(np.array([1]), ["DE"], at=NOW) for _ in range(400)]
    path = store_captures(store, [], at=NOW)
    whole = gzip.compress(b"".join(line for _, line in pairs))
    store.put(path, whole[: len(whole) // 2])
    join = joined(store, "fraud", [label(prediction_id) for prediction_id, _ in pairs])
    assert join.damaged == [path]
    assert 0 < len(join.rows) < 400
    assert len(join.rows) + len(join.unknown) == 400


@pytest.mark.parametrize("data", [b"", b"no gzip", gzip.compress(b"{}\n[1]\nnot json\n", mtime=0)])
def test_objects_that_are_something_else_do_no_harm(store: Store, data: bytes) -> None:
    prediction_id, line = predicted(np.array([1]), ["DE"], at=NOW)
    store_captures(store, [line], at=NOW, batch="good")
    store.put(store_captures(store, [], at=NOW, batch="bad"), data)
    assert len(joined(store, "fraud", [label(prediction_id)]).rows) == 1


def test_a_line_of_the_right_id_that_cannot_be_read_is_damage(store: Store) -> None:
    prediction_id, line = predicted(np.array([1]), ["DE"], at=NOW)
    path = store_captures(store, [line[:-10] + b"\n"], at=NOW)
    join = joined(store, "fraud", [label(prediction_id)])
    assert (join.rows, len(join.unknown), join.damaged) == ([], 1, [path])
