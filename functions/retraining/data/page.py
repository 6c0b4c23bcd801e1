"""The data-quality report as a page: the verdict first, then what is wrong, then every column."""

from html import escape

from functions.retraining.data.findings import Finding
from functions.retraining.data.report import EXAMPLES, Report
from functions.retraining.data.summaries import Summary
from functions.retraining.sheet import Tone, paragraph, section, sheet, table, tag, verdict
from functions.retraining.svg import histogram, shares

TONES: dict[str, Tone] = {
    "accepted": "good",
    "accepted with warnings": "warning",
    "refused": "bad",
    "warning": "warning",
    "note": "plain",
}


def page(report: Report) -> str:
    return sheet(
        f"Data report: {report.name}",
        f"For the model <b>{escape(report.model)}</b>. {escape(report.form)}.",
        (
            verdict(TONES[report.verdict], report.verdict.capitalize(), report.summary),
            section("Findings", _findings(report)),
            section("Rows that cannot be used", _bad_rows(report)),
            section("Columns", _columns(report), _ignored(report)),
        ),
    )


def _findings(report: Report) -> str:
    items = "".join(map(_finding, report.findings))
    return f'<ul class="findings">{items}</ul>' if items else ""


def _finding(finding: Finding) -> str:
    advice = f'<div class="quiet">{escape(finding.advice)}</div>' if finding.advice else ""
    return (
        f"<li><div>{tag(TONES[finding.level], finding.level)}</div><div>{escape(finding.sentence)}.{advice}</div></li>"
    )


def _bad_rows(report: Report) -> str:
    bad = report.bad
    if not bad.total:
        return ""
    kinds = table(
        ("rows", "column", "problem", "first line", "example"),
        (
            (
                f"{kind.rows:,}",
                _code(kind.column or ""),
                escape(kind.problem),
                f"{kind.first_line:,}",
                escape(kind.example),
            )
            for kind in bad.by_frequency()[:EXAMPLES]
        ),
        numbers=(0, 3),
    )
    rows = ((f"{row.line:,}", escape("; ".join(row.reasons))) for row in bad.kept[:EXAMPLES])
    first = f"The first {min(bad.total, EXAMPLES)} of {bad.total:,}:" if bad.total > 1 else ""
    return kinds + f'<p style="margin-top:18px">{first}</p>' + table(("line", "why"), rows, numbers=(0,))


def _columns(report: Report) -> str:
    return table(
        ("column", "kind", "missing", "different", "values", "distribution"),
        (
            (
                f"{_code(each.column.name)}<div class='quiet'>{each.column.role}</div>",
                each.column.kind,
                f"{each.missing:,}" + (f" ({each.missing / each.rows:.1%})" if each.missing else ""),
                f"{each.distinct:,}",
                _figures(each),
                _plot(each),
            )
            for each in report.summaries
        ),
        numbers=(2, 3),
    )


def _figures(summary: Summary) -> str:
    if summary.column.pii:
        return '<span class="quiet">personal: not shown</span>'
    parts = [
        f'<span class="quiet">{name}</span> {value if isinstance(value, str) else f"{value:.4g}"}'
        for name, value in summary.figures.items()
    ]
    return " &middot; ".join(parts[:3]) + ("<br>" + " &middot; ".join(parts[3:]) if parts[3:] else "")


def _plot(summary: Summary) -> str:
    name = summary.column.name
    if summary.top:
        return shares(summary.top, summary.rows, f"The most frequent values of {name}")
    return histogram(summary.bins, f"How the values of {name} are distributed") if summary.bins else ""


def _ignored(report: Report) -> str:
    if not report.ignored:
        return ""
    shown = ", ".join(report.ignored[:30]) + (" …" if len(report.ignored) > 30 else "")
    return paragraph(f"Not asked for, and ignored: {shown}.")


def _code(name: str) -> str:
    return f"<code>{escape(name)}</code>" if name else '<span class="quiet">whole row</span>'
