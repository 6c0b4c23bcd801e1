"""What of a report becomes figures: for dashboards, alarms and the next report."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from functions.drift.checking import Look
from lastmile.metrics import primary
from lastmile.profile import Profile
from lastmile.spec import ModelSpec

QUANTILES = {f"VersionMilliseconds{name}": share for name, share in (("P50", 0.5), ("P90", 0.9), ("P99", 0.99))}
BOUNDS = ("at_least", "at_most")  # the gates that live rows can be held against

type Document = dict[str, Any]


class Told(NamedTuple):
    model: str
    look: Look
    quality: Document
    gates: list[Document]
    estimate: Document | None


def figures(told: Told) -> Iterator[tuple[dict[str, str], dict[str, float | None]]]:
    """Dimensions beside stage and model, and the values that have them."""
    drift = told.look.drift
    rows = () if drift is None else (*drift.by_feature(), *drift.by_output())
    effects = [row.effect / row.tolerance for row in rows if row.effect is not None and row.tolerance > 0]
    yield (
        {},
        {
            "DriftedFeatures": None if drift is None else len(told.look.drifted),
            "LargestDrift": max(effects, default=None),
            "EstimatedQuality": told.estimate["value"] if told.estimate and told.estimate["trusted"] else None,
            "RowsCompared": told.look.profile.rows if told.look.profile else 0,
            "GatesMissed": sum(gate["missed"] for gate in told.gates) if told.gates else None,
            "LabelCoverage": told.quality["labels"]["coverage"],
        },
    )
    for name, figure in served(told.quality, told.look.manifest.version).items():
        yield {"metric": name}, {"Quality": figure["value"]}


def of_version(profile: Profile) -> dict[str, float | None]:
    """What a version was asked in an hour; told again, it is the same."""
    quantiles = {name: profile.latency_quantile(share) for name, share in QUANTILES.items()}
    return {"VersionRequests": profile.requests, "VersionErrors": profile.errors, **quantiles}


def gates(spec: ModelSpec, quality: Document, version: int | None) -> list[Document]:
    """The spec's bounds, held against labelled rows; missed is one whose whole interval lies on the wrong side."""
    metrics = served(quality, version)
    found = []
    for gate in spec.gates:
        kind, bound = gate.bound
        figure = metrics.get(gate.metric)
        if kind not in BOUNDS or figure is None or figure["value"] is None:
            continue
        nearest = figure["low" if kind == "at_most" else "high"]
        missed = nearest is not None and (nearest > bound if kind == "at_most" else nearest < bound)
        found.append({"metric": gate.metric, kind: bound, "value": figure["value"], "missed": missed})
    return found


def served(quality: Mapping[str, Any], version: int | None) -> dict[str, Document]:
    """The metrics of a version on rows that callers got; nothing when there are none."""
    versions: Sequence[Document] = quality["versions"]
    found = [one["metrics"] for one in versions if one["version"] == version and not one["shadow"]]
    return found[0] if found else {}


def newest(quality: Document, version: int) -> float | None:
    """The task's first metric, as one number."""
    figure = served(quality, version).get(primary(quality["task"]).name)
    value: float | None = None if figure is None else figure["value"]
    return value
