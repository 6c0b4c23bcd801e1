"""How often `lastmile.drift` cries wolf where nothing has changed, and how often it sees what has.

Rows are those of `benchmarks.normals`. What independent features count is drawn at once from its probabilities, which
is the same and lets a hundred thousand rows cost nothing.
"""

import math
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from benchmarks.machine import versions
from benchmarks.normals import (
    Cell,
    binned,
    counted,
    edges_of,
    laid_out,
    layouts,
    named,
    normals,
    numbers_of,
    probabilities,
    profile,
)
from benchmarks.progress import Tell, silence
from benchmarks.report import table
from benchmarks.result import Figure, Ratio, Result, Target
from lastmile.drift import ALPHA, Budget, DriftReport, compare, judge
from lastmile.policies import Drift
from lastmile.profile import Layout

TITLE = "Drift: false alarms and power"
REFERENCE_ROWS = 5000
ROWS = (50, 100, 200, 500, 1000, 10_000, 100_000)
CATEGORIES = (0, 2, 10, 50, 200)  # 0: numbers
FEATURES = ((1, 0.0), (25, 0.0), (25, 0.8))  # how many, and their correlation
MOST_DRAWN = 10_000  # rows of correlated features that are drawn one by one in the short run
DAYS = 365
PROMISED = 0.05
YEARLY = (
    "false alarms of a model in a year of daily checks",
    "false alarms of a model in a year of daily checks, joint",
)
PER_BUDGET = ("false alarms in a year / its budget", "false alarms in a year / its budget, joint")
TESTS_ALONE = Drift(tolerance=0.0)
POLICY = Drift()
TOGETHER = ((2, 0.0), (5, 0.0), (5, 0.8), (25, 0.8))  # features, and their correlation, where `joint` is on
ROWS_TOGETHER = (200, 1000, 5000)
UNFORGIVING_TOGETHER = Drift(tolerance=0.0, joint=True)


class Alarms(NamedTuple):
    """Runs with any alarm, by the tests alone and with the default tolerance."""

    tests: int
    tolerance: int
    runs: int


def run(quick: bool, tell: Tell = silence) -> Result:
    random = np.random.default_rng(20_261_121)
    runs = 40 if quick else 150
    found: dict[Cell, Alarms] = {}
    together: dict[Cell, tuple[int, int]] = {}
    for cell in cells():
        tell(cell.told)
        few = max(20, runs // 5) if cell.correlation and cell.rows > MOST_DRAWN else runs
        found[cell] = alarms(random, cell, few)
    for cell in cells_together():
        tell(f"{cell.told}, joint")
        few = max(20, runs // 3) if cell.features > 5 else runs
        together[cell] = sum(joint_report(random, cell).alarm for _ in range(few)), few
    tell("power")
    power = share_found(random, 500, 0.2, 200 if quick else 1000)
    tiny = share_found(random, 1_000_000, 0.02, 50 if quick else 200)
    tell("a year of daily checks")
    years = 10 if quick else 200
    yearly = per_year([a_year(random) for _ in range(years)])
    tell("a year of daily checks, joint")
    yearly_together = per_year([a_year(random, UNFORGIVING_TOGETHER) for _ in range(max(5, years // 2))])
    return result(found, together, (power, tiny), (yearly, yearly_together))


def result(
    found: dict[Cell, Alarms],
    together: dict[Cell, tuple[int, int]],
    power_and_tiny: tuple[Figure, Figure],
    yearly: tuple[Figure, Figure],
) -> Result:
    power, tiny = power_and_tiny
    figures = {cell.told: share(counted.tests, counted.runs) for cell, counted in found.items()}
    figures |= {
        f"{cell.told}, tolerance {POLICY.tolerance:g}": share(counted.tolerance, counted.runs)
        for cell, counted in found.items()
    }
    figures |= {"0.2 sd in 500 rows": power, "0.02 sd in 1,000,000 rows": tiny}
    figures |= {f"{cell.told}, joint": share(*counted) for cell, counted in together.items()}
    figures |= dict(zip(YEARLY, yearly, strict=True))
    budget = POLICY.alarms_per_year
    every = share(sum(one.tests for one in found.values()), sum(one.runs for one in found.values()))
    jointly = share(*(sum(numbers) for numbers in zip(*together.values(), strict=True)))
    counts = [(one.tests, one.runs) for one in found.values()] + list(together.values())
    above = sum(is_above_promise(*counted) for counted in counts)
    ratios = {
        "runs with any false alarm": Ratio(every.median, every.low, every.high),
        "cells above 0.05 by more than chance": Ratio.exact(above),
        "runs that find 0.2 sd in 500 rows": Ratio(power.median, power.low, power.high, "higher"),
        "runs that call 0.02 sd in 1,000,000 rows drift": Ratio(tiny.median, tiny.low, tiny.high),
        "runs with any false alarm, joint": Ratio(jointly.median, jointly.low, jointly.high),
    }
    for figure, name in zip(yearly, PER_BUDGET, strict=True):
        ratios[name] = Ratio(figure.median / budget, figure.low / budget, figure.high / budget)
    targets = {
        "runs with any false alarm": Target(at_most=PROMISED),
        "cells above 0.05 by more than chance": Target(at_most=0.0),
        "runs that find 0.2 sd in 500 rows": Target(at_least=0.8),
        "runs that call 0.02 sd in 1,000,000 rows drift": Target(at_most=0.0),
        "runs with any false alarm, joint": Target(at_most=PROMISED),
        **dict.fromkeys(PER_BUDGET, Target(at_most=1.0)),
    }
    return Result(figures, ratios, targets, versions())


def cells() -> Iterator[Cell]:
    for (features, correlation), categories, rows in product(FEATURES, CATEGORIES, ROWS):
        yield Cell(rows, categories, features, correlation)


def cells_together() -> Iterator[Cell]:
    for (features, correlation), rows in product(TOGETHER, ROWS_TOGETHER):
        yield Cell(rows, 0, features, correlation)


def alarms(random: np.random.Generator, cell: Cell, runs: int) -> Alarms:
    tests = tolerance = 0
    for _ in range(runs):
        report = null_report(random, cell)
        tests += report.alarm
        tolerance += any((row.effect or 0.0) > POLICY.tolerance for row in report.drifted)
    return Alarms(tests, tolerance, runs)


def joint_report(random: np.random.Generator, cell: Cell) -> DriftReport:
    """Of rows rather than counts: `joint` learns from them."""
    before, after = (normals(random, rows, cell) for rows in (REFERENCE_ROWS, cell.rows))
    layout = numbers_of(before)
    return judge(
        counted(layout, before),
        counted(layout, after),
        (named(before), named(after)),
        policy=UNFORGIVING_TOGETHER,
    )


def null_report(random: np.random.Generator, cell: Cell) -> DriftReport:
    drawn = normals(random, REFERENCE_ROWS, cell)
    layout = Layout({f"f{n}": laid_out(column, cell.categories) for n, column in enumerate(drawn.T)})
    if cell.correlation:
        current = counted(layout, normals(random, cell.rows, cell))
    else:
        chances = [probabilities(edges_of(one)) for one in layouts(layout)]
        current = profile(layout, [random.multinomial(cell.rows, chance) for chance in chances])
    return compare(counted(layout, drawn), current, policy=TESTS_ALONE)


def share_found(random: np.random.Generator, rows: int, shift: float, runs: int) -> Figure:
    """Of one feature of numbers, with the default tolerance."""
    found = 0
    for _ in range(runs):
        drawn = random.normal(size=REFERENCE_ROWS)
        layout = Layout({"f": laid_out(drawn, 0)})
        edges = edges_of(layout.features["f"])
        current = profile(layout, [random.multinomial(rows, probabilities(edges, shift))])
        found += compare(profile(layout, [binned(edges, drawn)]), current, policy=POLICY).alarm
    return share(found, runs)


def a_year(random: np.random.Generator, policy: Drift = TESTS_ALONE) -> int:
    """False alarms of a model with five features and 500 rows a day; the tolerance forgives nothing."""
    cell, budget = Cell(500, 0, 5, 0.0), Budget()
    known = normals(random, REFERENCE_ROWS, cell)
    layout = numbers_of(known)
    before = counted(layout, known)
    for day in range(DAYS):
        at = day * 86_400.0
        drawn = normals(random, cell.rows, cell)
        rows = (named(known), named(drawn))
        report = judge(before, counted(layout, drawn), rows, policy=policy, alpha=budget.level(policy, at))
        budget, _ = budget.after(report, policy, at)
    return budget.alarms


def per_year(begun: list[int]) -> Figure:
    years, mean = len(begun), sum(begun) / len(begun)
    half = 1.96 * math.sqrt(max(mean, 1 / years) / years)
    return Figure(mean, max(0.0, mean - half), mean + half, "alarms", years)


def share(found: int, runs: int) -> Figure:
    """With Wilson's 95 % interval."""
    z, p = 1.96, found / runs
    centre = (p + z * z / (2 * runs)) / (1 + z * z / runs)
    half = z / (1 + z * z / runs) * math.sqrt(p * (1 - p) / runs + z * z / (4 * runs * runs))
    return Figure(p, max(0.0, centre - half), min(1.0, centre + half), "of runs", runs)


def is_above_promise(alarms: int, n: int) -> bool:
    """Whether so many alarms, or more, come by chance in less than one of a thousand cells that keep the promise."""
    tail = sum(math.comb(n, k) * PROMISED**k * (1 - PROMISED) ** (n - k) for k in range(alarms, n + 1))
    return tail < 0.001


def describe(document: dict[str, Any]) -> str:
    figures = document["figures"]
    cell = figures[Cell(50, 0, 1, 0.0).told]
    parts = [
        f"Nothing has changed: {REFERENCE_ROWS:,} reference rows and the current ones are drawn alike. Each cell is "
        "the share of runs with any false alarm: of the tests alone (the tolerance forgives nothing) and, after the "
        f"stroke, with the default tolerance of {POLICY.tolerance:g}. The tests are run at {ALPHA:g}, and "
        f"{PROMISED:g} is promised, whatever the number of features. A cell has {cell['n']} runs, those of many "
        "correlated rows fewer: one cell is uncertain by some hundredths.\n"
    ]
    for features, correlation in FEATURES:
        cells_of = [[Cell(rows, categories, features, correlation) for rows in ROWS] for categories in CATEGORIES]
        rows = [(row[0].kind, *(both(figures, cell) for cell in row)) for row in cells_of]
        name = f"{features} feature{'s' if features > 1 else ''}"
        dependent = f", correlated by {correlation:g}" if correlation else ", independent" if features > 1 else ""
        parts.append(table((f"{name}{dependent}", *(f"{rows:,} rows" for rows in ROWS)), rows))
    rows = [
        (
            told_together(features, correlation),
            *(alone(figures, Cell(rows, 0, features, correlation)) for rows in ROWS_TOGETHER),
        )
        for features, correlation in TOGETHER
    ]
    parts.append(
        "With `joint` on, a classifier tries to tell the rows of both sides apart as well, and shares the level with "
        "the tests of the features (numbers; the tolerance forgives nothing):\n"
    )
    parts.append(table(("joint", *(f"{rows:,} rows" for rows in ROWS_TOGETHER)), rows))
    power, tiny = figures["0.2 sd in 500 rows"], figures["0.02 sd in 1,000,000 rows"]
    yearly, jointly = (figures[name] for name in YEARLY)
    parts.append(
        f"A shift by 0.2 standard deviations in 500 rows is called drift in {power['median']:.1%} of {power['n']} "
        f"runs, one by 0.02 in a million rows in {tiny['median']:.1%} of {tiny['n']}. A model checked daily for "
        f"a year, with a budget of {POLICY.alarms_per_year:g}, had {yearly['median']:.3g} false alarms on average over "
        f"{yearly['n']} simulated years, and {jointly['median']:.3g} over {jointly['n']} with `joint` on.\n"
    )
    return "\n".join(parts)


def told_together(features: int, correlation: float) -> str:
    return f"{features} features" + (f", correlated by {correlation:g}" if correlation else ", independent")


def alone(figures: dict[str, Any], cell: Cell) -> str:
    return f"{figures[f'{cell.told}, joint']['median']:.3f}"


def both(figures: dict[str, Any], cell: Cell) -> str:
    tests = figures[cell.told]["median"]
    tolerance = figures[f"{cell.told}, tolerance {POLICY.tolerance:g}"]["median"]
    return f"{tests:.3f} / {tolerance:.3f}"
