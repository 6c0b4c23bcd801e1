"""From an upload to a table that a model can be trained on, or to a refusal; in either case with a report."""

from collections.abc import Sequence
from dataclasses import dataclass

from functions.retraining.data import jsonlines, separated
from functions.retraining.data.badrows import BadRows
from functions.retraining.data.checks import checked
from functions.retraining.data.chunk import Opened
from functions.retraining.data.collecting import collect
from functions.retraining.data.columns import Column, of_spec
from functions.retraining.data.findings import Finding
from functions.retraining.data.leakage import leaks
from functions.retraining.data.names import extra_columns, missing_columns
from functions.retraining.data.parquet import reader as parquet
from functions.retraining.data.report import Report
from functions.retraining.data.source import Source, Stream, form, too_large, unpacked
from functions.retraining.data.summaries import summarised
from functions.retraining.table import Table
from lastmile.errors import DataRefused
from lastmile.spec import ModelSpec

MAX_BAD_SHARE = 0.05  # of a spec without a training section


@dataclass(frozen=True)
class Validation:
    """What came of an upload. `table` raises DataRefused where nothing is to be learnt from it."""

    report: Report
    usable: Table | None

    @property
    def bad_rows(self) -> BadRows:
        return self.report.bad

    @property
    def refusal(self) -> DataRefused | None:
        if not self.report.refusals:
            return None
        advice = dict.fromkeys(finding.advice for finding in self.report.refusals if finding.advice)
        return DataRefused(self.report.summary, " ".join(advice))

    @property
    def table(self) -> Table:
        if self.refusal is not None or self.usable is None:
            raise self.refusal or DataRefused(self.report.summary, "")
        return self.usable


def validate(
    stream: Stream,
    name: str,
    spec: ModelSpec,
    *,
    columns: Sequence[Column] | None = None,
    size: int | None = None,
    limit: int | None = None,
) -> Validation:
    """Reads a CSV, JSON lines or Parquet file, gzipped or not, whatever its name says.

    `columns` are what is wanted of it, by default what the spec says; `limit` is the most bytes to be read, packed
    and unpacked, and `size` how many there are, where that is known beforehand.
    """
    wanted = of_spec(spec) if columns is None else tuple(columns)
    try:
        if size is not None and limit is not None and size > limit:
            raise too_large(limit)
        file = opened(Source(stream, limit), wanted, limit)
        return _read(file, name, spec, wanted, limit)
    except DataRefused as refusal:
        return unreadable(name, spec, refusal)


def unreadable(name: str, spec: ModelSpec, refusal: DataRefused) -> Validation:
    """What comes of an upload that could not be read to its end."""
    finding = Finding("refused", str(refusal), refusal.advice)
    return Validation(Report(spec.name, name, "unreadable", 0, BadRows(), (finding,)), None)


def opened(source: Source, columns: Sequence[Column], limit: int | None = None) -> Opened:
    """The file, with its header read; raises DataRefused for what is no table."""
    source, packed = unpacked(source, limit)
    names = [column.name for column in columns]
    match form(source):
        case "parquet":
            file = parquet.opened(source, limit)
        case "json":
            file = jsonlines.opened(source, names)
        case "text":
            numbers = [column.name for column in columns if column.kind in ("number", "integer")]
            file = separated.opened(source, names, numbers)
    return Opened(f"{file.form}, gzipped", file.names, file.chunks, file.decimal) if packed else file


def _read(file: Opened, name: str, spec: ModelSpec, columns: Sequence[Column], limit: int | None) -> Validation:
    ignored = tuple(extra_columns(file.names, columns))
    findings = list(missing_columns(file.names, columns))
    if findings:
        return Validation(Report(spec.name, name, file.form, 0, BadRows(), tuple(findings), ignored=ignored), None)
    table, bad = collect(file, columns, limit)
    findings += shares(table.rows, bad, spec)
    if not findings:
        findings += [*checked(table, columns, spec), *leaks(table, columns, spec)]
        findings.sort(key=lambda finding: ("refused", "warning", "note").index(finding.level))
    summaries = tuple(summarised(table, columns))
    report = Report(spec.name, name, file.form, table.rows, bad, tuple(findings), summaries, ignored)
    return Validation(report, table)


def shares(rows: int, bad: BadRows, spec: ModelSpec) -> list[Finding]:
    """Refusals for what has no rows, or too many bad ones."""
    most = MAX_BAD_SHARE if spec.training is None else spec.training.max_bad_share
    total = rows + bad.total
    if not total:
        return [Finding("refused", "the file has a header and no rows", "Upload rows.")]
    if bad.total <= most * total:
        return []
    worst = "; ".join(
        f"{kind.example} ({kind.rows:,} {'row' if kind.rows == 1 else 'rows'}, first in line {kind.first_line:,})"
        for kind in bad.by_frequency()[:3]
    )
    return [
        Finding(
            "refused",
            f"{bad.total:,} of {total:,} rows ({bad.total / total:.1%}) cannot be used, at most {most:.1%} may be so",
            f"Mend them and upload again. Most often: {worst}. The quarantine lists the rows.",
        )
    ]
