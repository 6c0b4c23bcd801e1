import pytest

from lastmile.decision import KINDS, policy_of
from lastmile.decision.policy import features_of, percent
from lastmile.errors import InvalidSpec
from lastmile.policies import Decision
from lastmile.spec import validate
from tests.unit.lastmile.decision.models import PAYMENTS, payments


def test_every_kind_that_a_spec_may_name_is_there() -> None:
    assert set(KINDS) == set(Decision.__annotations__["kind"].__args__)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="'dice' is none of cost, order, route, threshold, top"):
        policy_of("dice", {}, PAYMENTS)


def test_features_are_columns_or_whole_tensors() -> None:
    features = features_of(PAYMENTS.inputs)
    assert list(features) == ["hour", "amount", "category"]
    feeds = payments(7.0, 8.0)
    assert features["amount"].values(feeds).tolist() == [7.0, 8.0]
    assert features["category"].values(feeds).tolist() == ["food", "food"]


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.5, "50.0 %"), (1.0, "100.0 %"), (0.0, "0.0 %"), (0.99996, "99.996 %"), (0.00004, "0.004 %")],
)
def test_a_percentage_that_is_nearly_all_or_nothing_does_not_say_that_it_is(share: float, said: str) -> None:
    assert percent(share) == said


def test_a_spec_with_a_policy_that_cannot_be_is_refused() -> None:
    document = {
        "name": "m",
        "task": "regression",
        "description": "A number.",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}],
        "outputs": [{"name": "value", "datatype": "FP32", "shape": [-1]}],
        "decision": {"kind": "order", "options": {"service_level": 0.9}},
    }
    with pytest.raises(InvalidSpec, match="'order' decides by an output 'quantiles' with columns; the model gives val"):
        validate(document)
