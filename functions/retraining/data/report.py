"""The data-quality report: what was uploaded, whether it can be learnt from, and what is wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from functions.retraining.data.badrows import BadRows
from functions.retraining.data.findings import Finding
from functions.retraining.data.summaries import Summary

EXAMPLES = 20

type Verdict = Literal["accepted", "accepted with warnings", "refused"]


@dataclass(frozen=True)
class Report:
    """`rows` are those that can be used. `ignored` are columns of the file that nobody asked for."""

    model: str
    name: str
    form: str
    rows: int
    bad: BadRows
    findings: tuple[Finding, ...]
    summaries: tuple[Summary, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        levels = {finding.level for finding in self.findings}
        if "refused" in levels:
            return "refused"
        return "accepted with warnings" if "warning" in levels else "accepted"

    @property
    def refusals(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.level == "refused"]

    @property
    def bad_share(self) -> float:
        return self.bad.total / max(1, self.rows + self.bad.total)

    @property
    def summary(self) -> str:
        """One sentence."""
        if self.refusals:
            return f"{self.name} is refused: {joined([finding.sentence for finding in self.refusals])}."
        if not self.bad.total:
            return f"{self.name}: all {self.rows:,} rows can be used."
        return f"{self.name}: {self.rows:,} rows can be used, {self.bad.total:,} ({self.bad_share:.1%}) cannot."

    def to_document(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "name": self.name,
            "form": self.form,
            "verdict": self.verdict,
            "summary": self.summary,
            "rows": {"read": self.rows + self.bad.total, "usable": self.rows, "bad": self.bad.total},
            "findings": [
                {"level": each.level, "column": each.column, "sentence": each.sentence, "advice": each.advice}
                for each in self.findings
            ],
            "columns": [summary.to_document() for summary in self.summaries],
            "ignored_columns": list(self.ignored),
            "bad_rows": {
                "kinds": [
                    {
                        "column": kind.column,
                        "problem": kind.problem,
                        "rows": kind.rows,
                        "first_line": kind.first_line,
                        "example": kind.example,
                    }
                    for kind in self.bad.by_frequency()[:EXAMPLES]
                ],
                "examples": [{"line": row.line, "reasons": list(row.reasons)} for row in self.bad.kept[:EXAMPLES]],
            },
        }

    def page(self) -> str:
        """One self-contained HTML page."""
        from functions.retraining.data.page import page  # only here, so that page may know reports

        return page(self)


def joined(sentences: Sequence[str], most: int = 3) -> str:
    if len(sentences) <= most:
        return "; ".join(sentences)
    return f"{'; '.join(sentences[:most])}; and {len(sentences) - most} more"
