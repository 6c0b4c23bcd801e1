from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from lastmile.decision import policy_of
from lastmile.errors import InvalidInput, InvalidSpec
from lastmile.tensors import Signature, TensorSpec
from tests.unit.lastmile.decision.models import PRODUCTS, REGRESSION, decided, texts

ITEMS = ("tent", "stove", "mat", "lamp")
SCORES = (0.9, 0.6, 0.3, 0.1)


def decide(context: Any = (), *, items: Any = ITEMS, scores: Any = SCORES, **options: Any) -> Any:
    outputs = {"items": texts(*items).reshape(1, -1), "scores": np.array([scores], np.float64)}
    return decided("top", {"limit": 3} | options, PRODUCTS, {"user": texts("u1")}, outputs, context)[0]


def names(got: Any) -> list[str]:
    return [entry["item"] for entry in got.details["items"]]


def test_the_best_items_are_recommended() -> None:
    got = decide()
    assert got.decision == "recommend"
    assert got.details["items"][0] == {"item": "tent", "score": 0.9}
    assert names(got) == ["tent", "stove", "mat"]
    assert got.reasons == ("3 of the 4 best items, at most 3 were wanted: tent, stove, mat.",)


def test_excluded_items_make_room_for_the_next() -> None:
    got = decide([{"exclude": ["stove", "unknown"]}])
    assert names(got) == ["tent", "mat", "lamp"]
    assert got.reasons[1] == "1 item is excluded."


def test_where_nothing_is_good_enough_nothing_is_recommended() -> None:
    got = decide(minimum_score=0.95)
    assert (got.decision, names(got)) == ("nothing", [])
    assert got.reasons[1] == "4 items are below the score 0.95."


@pytest.mark.parametrize(
    ("options", "context", "found"),
    [
        ({"limit": 2}, (), ["tent", "stove"]),
        ({"minimum_score": 0.5}, (), ["tent", "stove"]),
        ({"exclude": ["tent"]}, (), ["stove", "mat", "lamp"]),
        ({"exclude": ["tent"]}, [{"exclude": ["mat"]}], ["stove", "lamp"]),
        ({}, [{"limit": 1}], ["tent"]),
    ],
)
def test_every_option_has_an_effect(options: Any, context: Any, found: list[str]) -> None:
    assert names(decide()) != found
    assert names(decide(context, **options)) == found


def test_a_recommendation_may_ask_for_a_person() -> None:
    assert decide(minimum_score=0.95, review=["nothing"]).review
    assert not decide(review=["nothing"]).review


def test_an_empty_text_is_no_item() -> None:
    assert names(decide(items=("tent", "", "", ""))) == ["tent"]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    some.lists(some.floats(0, 1), min_size=4, max_size=4),
    some.integers(1, 4),
    some.floats(0, 1, width=32),
    some.sets(some.sampled_from(ITEMS)),
)
def test_no_excluded_item_none_below_the_score_none_too_many_and_none_better_left_out(
    scores: list[float], limit: int, minimum: float, exclude: set[str]
) -> None:
    ranked = sorted(scores, reverse=True)
    got = decide([{"exclude": sorted(exclude)}], scores=ranked, limit=limit, minimum_score=minimum)
    allowed = [n for n, score in zip(ITEMS, ranked, strict=True) if n not in exclude and score >= minimum]
    assert names(got) == allowed[:limit]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"limit": 0}, "limit: 0 is not a number of at least 1"),
        ({"limit": 5}, "limit: 5 is not a whole number up to the 4 items of an answer"),
        ({"limit": 1.5}, "limit: 1.5 is not a whole number up to the 4 items of an answer"),
        ({"exclude": [1]}, "exclude: must be a list of texts"),
        ({"category": "x"}, "category: unknown key of 'top'"),
    ],
)
def test_what_is_wrong_with_the_options_has_its_key(options: Any, said: str) -> None:
    with pytest.raises(InvalidSpec) as raised:
        decide(**options)
    assert str(raised.value) == f"decision.options.{said}"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"limit": 4}, "'limit' is 4, a number from 1 to 3 is wanted"),
        ({"limit": "2"}, "'limit' is '2', a number from 1 to 3 is wanted"),
        ({"exclude": "tent"}, "'exclude' must be a list of texts"),
        ({"exclude": [1]}, "'exclude' must be a list of texts"),
    ],
)
def test_context_that_does_not_fit_is_named(entry: Any, said: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        decide([entry])
    assert str(raised.value) == f"context[0]: {said}"


def test_it_needs_items() -> None:
    with pytest.raises(InvalidSpec, match="'top' decides by an output 'items'; the model gives value"):
        decided("top", {}, REGRESSION, {}, {})


def test_a_limit_that_is_not_whole_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'limit' is 1.5, a whole number is wanted"):
        decide([{"limit": 1.5}])


@pytest.mark.parametrize(
    ("datatype", "shape", "said"),
    [("INT64", (-1, 4), "is INT64 of shape"), ("BYTES", (), "is BYTES of shape"), ("BYTES", (4,), "is BYTES of shape")],
)
def test_items_are_texts_in_rows(datatype: str, shape: tuple[int, ...], said: str) -> None:
    outputs = (TensorSpec("items", datatype, shape), TensorSpec("scores", "FP32", (-1, 4)))
    with pytest.raises(InvalidSpec, match=said):
        policy_of("top", {"limit": 3}, Signature(PRODUCTS.inputs, outputs))
