"""Real rows in the order of time: a known change found, a stable part left alone, accuracy estimated without labels.

Half-hourly electricity prices of New South Wales (Harries 1999). At row 17,424 the market was widened: three columns
that had been constant move from then on. Before, demand and prices wander with the seasons.
"""

from typing import Any

import numpy as np

from benchmarks.machine import versions
from benchmarks.progress import Tell, silence
from benchmarks.report import figures_table, targets_table
from benchmarks.result import Figure, Ratio, Result, Target
from lastmile.drift import accuracy, compare, natural_variation
from lastmile.policies import Drift
from lastmile.profile import Profile, reference
from lastmile.tensors import Array, Signature, TensorSpec
from layers.uv import ROOT

TITLE = "Drift on real rows"
DATA = ROOT.parent / "shared/data/elec2/elec.csv.gz"
COLUMNS = ("period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")
SIGNATURE = Signature(
    (TensorSpec("x", "FP64", (-1, len(COLUMNS)), columns=COLUMNS),),
    (TensorSpec("label", "INT64", (-1,)), TensorSpec("probabilities", "FP32", (-1, 2))),
)
CHANGE, REFERENCE, WINDOW, STEP, DAY = 17_424, 12_000, 1000, 100, 48
WITHIN, POINTS = 2000, 3.0
FALSE = "alarms in the stable part"
FOUND = "rows from the change to the alarm / 2,000"
NEAR = "points between estimate and truth, calibrated / 3"
TRUSTED = "estimates trusted after the change"


def run(quick: bool, tell: Tell = silence) -> Result:
    """Counted rather than timed: the short run is the full one."""
    if not DATA.is_file():
        tell(f"the data are not at {DATA}: nothing is measured")
        return Result({}, {}, {}, versions())
    table = np.loadtxt(DATA, delimiter=",", skiprows=1)
    x, y = table[:, :-1], table[:, -1].astype(np.int64)
    early, found = alarms(x)
    estimate, right = estimated(x, y)
    trusted, later = after_the_change(x, y)
    figures = {
        "windows judged before the change": Figure.count(len(ends(REFERENCE, CHANGE)), "windows"),
        FALSE: Figure.count(early, "windows"),
        "rows from the change to the alarm": Figure.count(found, "rows"),
        "estimated accuracy, calibrated": Figure.count(100 * estimate, "%"),
        "true accuracy, calibrated": Figure.count(100 * right, "%"),
        "estimates after the change": Figure.count(later, "windows"),
        TRUSTED: Figure.count(trusted, "windows"),
    }
    ratios = {
        FALSE: Ratio.exact(early),
        FOUND: Ratio.exact(found / WITHIN),
        NEAR: Ratio.exact(abs(estimate - right) * 100 / POINTS),
        TRUSTED: Ratio.exact(trusted),
    }
    limits = {FALSE: 0.0, FOUND: 1.0, NEAR: 1.0, TRUSTED: 0.0}
    return Result(figures, ratios, {name: Target(at_most=limit) for name, limit in limits.items()}, versions())


def ends(start: int, stop: int) -> range:
    """Where the windows between two rows end."""
    return range(start + WINDOW, stop + 1, STEP)


def alarms(x: Array) -> tuple[int, int]:
    """How many windows before the change raise an alarm, and how many rows later the first one does."""
    known = reference(SIGNATURE, "classification", {"x": x[:REFERENCE]}, {})
    layout = known.layout
    past = [Profile.of(layout, {"x": x[at : at + WINDOW]}, {}) for at in range(0, REFERENCE, WINDOW)]
    variation = natural_variation(past)

    def alarm(end: int) -> bool:
        now = Profile.of(layout, {"x": x[end - WINDOW : end]}, {})
        return compare(known, now, policy=Drift(), variation=variation).alarm

    early = sum(alarm(end) for end in ends(REFERENCE, CHANGE))
    found = next((end for end in ends(CHANGE - WINDOW, len(x)) if end > CHANGE and alarm(end)), len(x))
    return early, found - CHANGE


def estimated(x: Array, y: Array) -> tuple[float, float]:
    """Of every third day of the stable part; the others made the classifier and its calibration."""
    day = np.arange(CHANGE) // DAY
    learnt, known, at = (np.flatnonzero(day % 3 == which) for which in range(3))
    value, right, _ = judged(x, y, learnt, known, at)
    return value, right


def after_the_change(x: Array, y: Array) -> tuple[int, int]:
    """How many estimates are trusted, of how many."""
    learnt, known = np.arange(8000), np.arange(8000, REFERENCE)
    starts = range(CHANGE, len(x) - WINDOW, WINDOW)
    return sum(judged(x, y, learnt, known, np.arange(at, at + WINDOW))[2] for at in starts), len(starts)


def judged(x: Array, y: Array, learnt: Array, known: Array, at: Array) -> tuple[float, float, bool]:
    """The estimate, the truth, and whether the estimate is to be trusted."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x[learnt], y[learnt])

    def answered(places: Array) -> dict[str, Array]:
        probabilities = model.predict_proba(x[places])
        return {"label": probabilities.argmax(axis=1), "probabilities": probabilities}

    before = reference(SIGNATURE, "classification", {"x": x[known]}, answered(known), truth={"label": y[known]})
    outputs = answered(at)
    found = accuracy(before, Profile.of(before.layout, {"x": x[at]}, outputs))
    assert found.value is not None
    return found.value, float((outputs["label"] == y[at]).mean()), found.trusted


def describe(document: dict[str, Any]) -> str:
    if not document["figures"]:
        return "The data were not there.\n"
    text = (
        f"45,312 half-hourly rows of an electricity market (elec2). The reference is the first {REFERENCE:,} rows; its "
        f"own windows of {WINDOW:,} rows say how far a season goes. At row {CHANGE:,} the market was widened. A "
        "logistic regression's accuracy is estimated without labels: on every third day of the stable part, where its "
        "confidence is calibrated, and after the change, where it is not to be trusted and says so.\n"
    )
    return "\n".join((text, targets_table(document), figures_table(document)))
