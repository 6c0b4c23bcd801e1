"""`lastmile drift compare`: has the one file drifted from the other? Needs no stack."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import baselines
from cli.errors import CommandFailed
from cli.output import Figure, note, print_json, print_table, print_text
from cli.target import Options

if TYPE_CHECKING:
    from cli.columns import Table
    from cli.windows import Sample, Windows
    from lastmile.drift import DriftReport, Row
    from lastmile.drift.variation import Variation
    from lastmile.policies import Drift
    from lastmile.profile import FeatureLayout, Layout, Profile

    type Judged = tuple[DriftReport, tuple[int, int]]  # and the rows of both sides

HEAD_ROWS = 262_144  # of the reference, from which edges and categories are taken
JOINT_WINDOWS = 16  # for each of them a classifier learns
MOSTLY = 0.95  # share of a column's values that must be numbers for it to be one of numbers


def compare(
    context: typer.Context,
    reference: Annotated[
        Path, typer.Argument(help="CSV or Parquet file with rows as they should be; or a statistics.json.")
    ],
    current: Annotated[Path, typer.Argument(help="CSV or Parquet file with the rows to be judged.")],
    tolerance: Annotated[float, typer.Option(min=0, max=0.99, help="A smaller effect is no drift.")] = 0.1,
    joint: Annotated[
        bool,
        typer.Option("--joint", help="Look also for drift that no column shows by itself, at the same error level."),
    ] = False,
    seasons: Annotated[
        bool,
        typer.Option(
            "--seasons",
            help="The reference is in the order of time: what windows of it, as long as the current file, differ by "
            "is no drift.",
        ),
    ] = False,
    constraints: Annotated[
        Path | None, typer.Option(help="constraints.json of the baseline: the categories that there may be.")
    ] = None,
) -> None:
    """Compare two files, column by column.

    Each is stable, drifted, or has not enough data to tell.

    The reference may be a baseline of SageMaker Model Monitor: its statistics.json.

    An effect of 0.1 is a shift of a tenth of a standard deviation, or a Jensen-Shannon distance of 0.1 of categories.
    """
    from cli.columns import Table
    from lastmile.policies import Drift

    options: Options = context.obj
    policy = Drift(tolerance=tolerance, joint=joint)
    after = Table(current)
    if reference.suffix == ".json":
        if joint or seasons:
            raise CommandFailed("A baseline holds counts and no rows, which --joint and --seasons need.")
        names, judged = with_baseline(baselines.opened(reference, constraints), after, policy, reference)
    elif constraints is not None:
        raise CommandFailed("--constraints belong to a baseline.", next_step="Give its statistics.json as reference.")
    else:
        names, judged = with_rows(Table(reference), after, policy, seasons=seasons)
    report, rows = judged
    lonely = {
        "only_in_reference": [name for name in names if name not in after.names],
        "only_in_current": [name for name in after.names if name not in names],
    }
    if options.json:
        print_json({**report.to_document(), "rows": {"reference": rows[0], "current": rows[1]}, **lonely})
    else:
        print_report(report, rows, lonely)


def with_baseline(known: "Profile", after: "Table", policy: "Drift", path: Path) -> "tuple[Sequence[str], Judged]":
    """The names of the reference, and what was found."""
    from cli.windows import read
    from lastmile.drift import judge

    reference = baselines.narrowed(known, in_common([*known.features], after, path))
    other = read(after, reference.layout)[0].whole
    return [*known.features], (judge(reference, other, None, policy=policy), (reference.rows, other.rows))


def with_rows(before: "Table", after: "Table", policy: "Drift", *, seasons: bool) -> "tuple[Sequence[str], Judged]":
    """The names of the reference, and what was found."""
    from cli.windows import read
    from lastmile.drift import judge
    from lastmile.drift.verdict import FEWEST_ROWS

    layout, chosen_by = lay_out(before, in_common(before.names, after, before.path))
    there, sample_now = read(after, layout, sampled=policy.joint)
    other = there.whole
    seasons = seasons and other.rows >= FEWEST_ROWS  # fewer get no verdict, and would cut the reference into crumbs
    windows, sample = read(before, layout, skip=chosen_by, window=other.rows if seasons else None, sampled=policy.joint)
    report = judge(
        windows.whole,
        other,
        (sample.rows(), sample_now.rows()) if policy.joint else None,
        policy=policy,
        variation=variation_of(before.path, windows, sample, other.rows) if seasons else None,
    )
    return before.names, (report, (windows.whole.rows, other.rows))


def in_common(names: Sequence[str], after: "Table", path: Path) -> list[str]:
    found = [name for name in names if name in after.names]
    if not found:
        raise CommandFailed(
            f"{path} and {after.path} have no column in common.", next_step="Compare files with the same columns."
        )
    return found


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


def variation_of(path: Path, windows: "Windows", sample: "Sample", rows: int) -> "Variation":
    """What windows of the reference, as long as the current file, differ by."""
    from lastmile.drift import natural_variation
    from lastmile.drift.variation import FEWEST_WINDOWS

    if len(windows.kept) < FEWEST_WINDOWS:
        raise CommandFailed(
            f"{path} has {windows.whole.rows:,} rows: too few for {FEWEST_WINDOWS} windows of {rows:,}, as many as are "
            "to be judged.",
            next_step="Give a longer reference or fewer current rows, or leave out --seasons.",
        )
    starts = [number * rows for number in windows.kept][:: -(-len(windows.kept) // JOINT_WINDOWS)]
    return natural_variation(
        list(windows.kept.values()), [found for start in starts if (found := sample.rows(start, start + rows))]
    )


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
    print_text(f"{report.verdict}: {rows[0]:,} reference rows, {rows[1]:,} current ones")
    for key, names in lonely.items():
        if names:
            note(f"{key.replace('_', ' ')}: {', '.join(names[:8])}{' …' if len(names) > 8 else ''}")


def by_urgency(rows: "Sequence[Row]") -> "list[Row]":
    from lastmile.drift.report import WORST_FIRST

    return sorted(rows, key=lambda row: (WORST_FIRST.index(row.verdict), -(row.effect or 0.0)))


def short(value: float | None) -> Figure | None:
    return None if value is None else Figure(f"{value:.2g}")
