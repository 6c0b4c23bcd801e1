"""What the spec demands of a new version, held against what was measured."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from functions.retraining.evaluation import Evaluation
from functions.retraining.grouping import FEWEST_ROWS
from lastmile.metrics import find, gain
from lastmile.policies import Gate


@dataclass(frozen=True)
class GateOutcome:
    """`value` is what the bound is about: the metric, a difference or a gap; None where there is none."""

    metric: str
    kind: str
    bound: float
    value: float | None
    passed: bool
    sentence: str

    def to_document(self) -> dict[str, Any]:
        return asdict(self)


def check_gates(gates: Sequence[Gate], evaluation: Evaluation) -> list[GateOutcome]:
    """One outcome per gate, in the spec's order. What cannot be measured has not passed, save that a champion which is
    not there, or cannot answer these rows, stands in nobody's way."""
    return [_CHECKS[gate.bound[0]](gate, evaluation) for gate in gates]


def _at_least(gate: Gate, evaluation: Evaluation) -> GateOutcome:
    value, bound = _value(gate, evaluation), gate.bound[1]
    if value is None:
        return _no_value(gate, evaluation)
    passed = value >= bound
    return _outcome(gate, value, passed, f"{gate.metric} is {value:.4g}, at least {bound:.4g} is wanted")


def _at_most(gate: Gate, evaluation: Evaluation) -> GateOutcome:
    value, bound = _value(gate, evaluation), gate.bound[1]
    if value is None:
        return _no_value(gate, evaluation)
    return _outcome(gate, value, value <= bound, f"{gate.metric} is {value:.4g}, at most {bound:.4g} is allowed")


def _champion_margin(gate: Gate, evaluation: Evaluation) -> GateOutcome:
    champion, value, bound = evaluation.champion, _value(gate, evaluation), gate.bound[1]
    if champion is None:
        return _outcome(gate, None, True, f"there is no champion yet to compare {gate.metric} with")
    if champion.reason is not None:
        return _outcome(gate, None, True, f"version {champion.version} cannot be compared: {champion.reason}")
    if value is None:
        return _no_value(gate, evaluation)
    other = champion.metrics[gate.metric].value
    if other is None:
        why = champion.metrics[gate.metric].reason
        return _outcome(gate, None, True, f"version {champion.version} has no {gate.metric}: {why}")
    better = gain(find(gate.metric), value, other)
    rows = f"{gate.metric} is {value:.4g} and version {champion.version} has {other:.4g} on the same rows"
    wanted = f"at most {-bound:.4g} worse is allowed" if bound <= 0 else f"at least {bound:.4g} better is wanted"
    return _outcome(gate, better, better >= bound, f"{rows}: {_told(better)}, {wanted}")


def _train_gap(gate: Gate, evaluation: Evaluation) -> GateOutcome:
    gap, bound = evaluation.train_gap(gate.metric), gate.bound[1]
    if gap is None:
        return _no_value(gate, evaluation)
    held_out, training = evaluation.metrics[gate.metric].value, evaluation.training[gate.metric].value
    said = f"{gate.metric} is {training:.4g} on the training rows and {held_out:.4g} on the held-out ones"
    return _outcome(
        gate, abs(gap), abs(gap) <= bound, f"{said}: a gap of {abs(gap):.4g}, at most {bound:.4g} is allowed"
    )


def _group_gap(gate: Gate, evaluation: Evaluation) -> GateOutcome:
    gap, bound = evaluation.group_gap(gate.metric), gate.bound[1]
    if not evaluation.groups:
        return _outcome(gate, None, False, "no feature is sensitive, so there are no groups to compare")
    if gap is None:
        few = f"no two groups of at least {FEWEST_ROWS} held-out rows have a value of {gate.metric}"
        return _outcome(gate, None, False, few)
    where = _widest(gate.metric, evaluation)
    said = f"{gate.metric} differs by {gap:.4g} {where}, at most {bound:.4g} is allowed"
    return _outcome(gate, gap, gap <= bound, said)


def _widest(metric: str, evaluation: Evaluation) -> str:
    """Between which groups the gap is."""
    best = (-1.0, "")
    for column, groups in evaluation.groups.items():
        values = [(value, group.name) for group in groups if (value := group.value(metric)) is not None]
        if len(values) > 1:
            (low, one), (high, other) = min(values), max(values)
            best = max(best, (high - low, f"between the groups '{one}' and '{other}' of {column}"))
    return best[1]


def _value(gate: Gate, evaluation: Evaluation) -> float | None:
    return evaluation.metrics[gate.metric].value


def _no_value(gate: Gate, evaluation: Evaluation) -> GateOutcome:
    reason = evaluation.metrics[gate.metric].reason or evaluation.training[gate.metric].reason
    return _outcome(gate, None, False, f"{gate.metric} has no value: {reason}")


def _outcome(gate: Gate, value: float | None, passed: bool, sentence: str) -> GateOutcome:
    kind, bound = gate.bound
    return GateOutcome(gate.metric, kind, bound, value, passed, sentence)


def _told(better: float) -> str:
    return f"{abs(better):.4g} {'better' if better > 0 else 'worse'}" if better else "equally good"


_CHECKS = {
    "at_least": _at_least,
    "at_most": _at_most,
    "champion_margin": _champion_margin,
    "train_gap_at_most": _train_gap,
    "group_gap_at_most": _group_gap,
}
