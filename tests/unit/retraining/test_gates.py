from typing import Any

import pytest

from functions.retraining.evaluation import Beside, Evaluation
from functions.retraining.gates import GateOutcome, check_gates
from functions.retraining.grouping import Group
from lastmile.metrics import Measured
from lastmile.policies import Gate


def evaluation(**parts: Any) -> Evaluation:
    metrics = {"auc": Measured(0.8), "log_loss": Measured(0.5), "recall": Measured(None, reason="no row is positive")}
    training = {"auc": Measured(0.9), "log_loss": Measured(0.45), "recall": Measured(1.0)}
    return Evaluation("classification", 100, 400, metrics, training, **parts)


def champion(auc: float | None, log_loss: float = 0.5) -> Beside:
    return Beside(7, {"auc": Measured(auc, reason="one class"), "log_loss": Measured(log_loss)})


def groups(**values: float | None) -> dict[str, tuple[Group, ...]]:
    found = [
        Group(name, 10) if value is None else Group(name, 50, {"auc": Measured(value)})
        for name, value in values.items()
    ]
    return {"sex": tuple(found)}


def outcome(gate: Gate, **parts: Any) -> GateOutcome:
    (found,) = check_gates([gate], evaluation(**parts))
    return found


TABLE = [
    (Gate("auc", at_least=0.8), {}, True, 0.8, "auc is 0.8, at least 0.8 is wanted"),
    (Gate("auc", at_least=0.81), {}, False, 0.8, "auc is 0.8, at least 0.81 is wanted"),
    (Gate("log_loss", at_most=0.5), {}, True, 0.5, "log_loss is 0.5, at most 0.5 is allowed"),
    (Gate("log_loss", at_most=0.4), {}, False, 0.5, "log_loss is 0.5, at most 0.4 is allowed"),
    (Gate("recall", at_least=0.1), {}, False, None, "recall has no value: no row is positive"),
    (Gate("auc", champion_margin=0.0), {}, True, None, "there is no champion yet to compare auc with"),
    (
        Gate("auc", champion_margin=-0.02),
        {"champion": champion(0.81)},
        True,
        -0.01,
        "0.01 worse, at most 0.02 worse is",
    ),
    (Gate("auc", champion_margin=-0.02), {"champion": champion(0.83)}, False, -0.03, "0.03 worse, at most 0.02 worse"),
    (
        Gate("auc", champion_margin=0.01),
        {"champion": champion(0.8)},
        False,
        0.0,
        "equally good, at least 0.01 better is",
    ),
    (Gate("log_loss", champion_margin=0.0), {"champion": champion(0.8, 0.6)}, True, 0.1, "0.1 better"),
    (Gate("log_loss", champion_margin=0.0), {"champion": champion(0.8, 0.4)}, False, -0.1, "0.1 worse"),
    (Gate("recall", champion_margin=0.0), {"champion": champion(0.8)}, False, None, "recall has no value"),
    (Gate("auc", champion_margin=0.0), {"champion": champion(None)}, True, None, "version 7 has no auc: one class"),
    (
        Gate("auc", champion_margin=0.0),
        {"champion": Beside(7, reason="its inputs differ")},
        True,
        None,
        "its inputs dif",
    ),
    (Gate("auc", train_gap_at_most=0.1), {}, True, 0.1, "0.9 on the training rows and 0.8 on the held-out ones"),
    (Gate("auc", train_gap_at_most=0.05), {}, False, 0.1, "a gap of 0.1, at most 0.05 is allowed"),
    (Gate("recall", train_gap_at_most=0.05), {}, False, None, "recall has no value: no row is positive"),
    (Gate("auc", group_gap_at_most=0.1), {}, False, None, "no feature is sensitive"),
    (Gate("auc", group_gap_at_most=0.1), {"groups": groups(f=0.8, m=0.75)}, True, 0.05, "auc differs by 0.05"),
    (
        Gate("auc", group_gap_at_most=0.1),
        {"groups": groups(f=0.9, m=0.7)},
        False,
        0.2,
        "auc differs by 0.2 between the groups 'm' and 'f' of sex, at most 0.1 is allowed",
    ),
    (
        Gate("auc", group_gap_at_most=0.1),
        {"groups": groups(f=0.9, m=None)},
        False,
        None,
        "no two groups of at least 30",
    ),
]


@pytest.mark.parametrize(("gate", "parts", "passed", "value", "sentence"), TABLE)
def test_a_gate_says_what_it_found(
    gate: Gate, parts: dict[str, Any], passed: bool, value: float | None, sentence: str
) -> None:
    found = outcome(gate, **parts)
    assert found.passed is passed
    assert sentence in found.sentence
    assert found.value == (None if value is None else pytest.approx(value))
    assert (found.metric, found.kind, found.bound) == (gate.metric, *gate.bound)


def test_outcomes_come_in_the_order_of_the_gates() -> None:
    found = check_gates([Gate("log_loss", at_most=1), Gate("auc", at_least=0)], evaluation())
    assert [each.metric for each in found] == ["log_loss", "auc"]
    assert found[0].to_document()["passed"] is True
