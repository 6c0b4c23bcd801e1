"""`lastmile drift compare`: has the one file drifted from the other? Needs no stack."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import CommandFailed
from cli.output import Figure, note, print_json, print_table
from cli.target import Options

if TYPE_CHECKING:
    from cli.columns import Table
    from lastmile.drift import DriftReport, Row
    from lastmile.profile import FeatureLayout, FeatureProfile, Layout, Profile

HEAD_ROWS = 262_144  # of the reference, from which edges and categories are taken
MOSTLY = 0.95  # share of a column's values that must be numbers for it to be one of numbers


def compare(
    context: typer.Context,
    reference: Annotated[Path, typer.Argument(help="CSV or Parquet file with rows as they should be.")],
    current: Annotated[Path, typer.Argument(help="CSV or Parquet file with the rows to be judged.")],
    tolerance: Annotated[float, typer.Option(min=0, max=0.99, help="A smaller effect is no drift.")] = 0.1,
) -> None:
    """Compare two files column by column: stable, drifted, or not enough data to tell.

    An effect of 0.1 is a shift of a tenth of a standard deviation, or a Jensen-Shannon distance of 0.1 of categories.
    """
    from cli.columns import Table
    from lastmile.drift import compare as compare_profiles
    from lastmile.policies import Drift

    options: Options = context.obj
    before, after = Table(reference), Table(current)
    names = [name for name in before.names if name in after.names]
    if not names:
        raise CommandFailed(
            f"{reference} and {current} have no column in common.", next_step="Compare files with the same columns."
        )
    layout, chosen_by = lay_out(before, names)
    one = profile_of(before, layout, skip=chosen_by)
    other = profile_of(after, layout)
    report = compare_profiles(one, other, policy=Drift(tolerance=tolerance))
    lonely = {
        "only_in_reference": [name for name in before.names if name not in names],
        "only_in_current": [name for name in after.names if name not in names],
    }
    if options.json:
        print_json({**report.to_document(), "rows": {"reference": one.rows, "current": other.rows}, **lonely})
    else:
        print_report(report, (one.rows, other.rows), lonely)


def lay_out(table: "Table", names: Sequence[str]) -> "tuple[Layout, int]":
    """Edges and categories from the first rows, and how many those are."""
    from lastmile.profile import Layout

    head = table.head(HEAD_ROWS)
    features = {name: feature_of(name, [batch.column(name) for batch in head]) for name in names}
    return Layout(features=features), sum(batch.num_rows for batch in head)


def feature_of(name: str, columns: Sequence[Any]) -> "FeatureLayout":
    import numpy as np

    from cli.columns import as_numbers, as_texts, readable_as_numbers
    from lastmile.profile import FeatureLayout, laid_out

    values, numbers = readable_as_numbers(columns)
    if values and numbers >= MOSTLY * values:
        found = [as_numbers(column) for column in columns]
        return laid_out(FeatureLayout("numeric", name), np.concatenate(found), None)
    found = [as_texts(column) for column in columns]
    return laid_out(FeatureLayout("category", name), np.concatenate(found) if found else None, None)


def profile_of(table: "Table", layout: "Layout", *, skip: int = 0) -> "Profile":
    """Of all rows; every other one of the first `skip` chose the categories of alternate features: not of those."""
    from lastmile.profile import Profile

    profile = Profile.empty(layout)
    features = profile.features
    rows = 0
    for batch in table.batches():
        is_head = rows < skip
        features = {
            name: counts.merge(counted(counts.layout, batch.column(name), is_head=is_head, first=rows))
            for name, counts in features.items()
        }
        rows += batch.num_rows
    return replace(profile, features=features, rows=rows)


def counted(layout: "FeatureLayout", column: Any, *, is_head: bool, first: int) -> "FeatureProfile":
    from cli.columns import as_numbers, as_texts, counted_texts
    from lastmile.profile import FeatureProfile

    if layout.kind == "numeric":
        return FeatureProfile.of(layout, as_numbers(column))
    if layout.alternate and is_head:
        return FeatureProfile.of(layout, as_texts(column)[(first + 1) % 2 :: 2])
    found, missing = counted_texts(column)
    return FeatureProfile.of_texts(layout, found, missing, rows=len(column))


def print_report(report: "DriftReport", rows: tuple[int, int], lonely: Mapping[str, Sequence[str]]) -> None:
    print_table(
        ["column", "verdict", "in", "effect", "tolerance", "detectable", "p-value", "why"],
        [
            [
                row.name,
                row.verdict,
                row.aspect,
                short(row.effect),
                short(row.tolerance),
                short(row.detectable),
                short(row.p_value),
                row.reason,
            ]
            for row in by_urgency(report.by_feature())
        ],
    )
    print(f"{report.verdict}: {rows[0]:,} reference rows, {rows[1]:,} current ones")
    for key, names in lonely.items():
        if names:
            note(f"{key.replace('_', ' ')}: {', '.join(names[:8])}{' …' if len(names) > 8 else ''}")


def by_urgency(rows: "Sequence[Row]") -> "list[Row]":
    from lastmile.drift.report import WORST_FIRST

    return sorted(rows, key=lambda row: (WORST_FIRST.index(row.verdict), -(row.effect or 0.0)))


def short(value: float | None) -> Figure | None:
    return None if value is None else Figure(f"{value:.2g}")
