"""The card of a version: what it is for, how good it is and for whom, and where it comes from."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from functions.retraining import cardtables
from functions.retraining.cardplots import figures, intervals
from functions.retraining.cardtables import Grid, spread
from functions.retraining.evaluation import Evaluation
from functions.retraining.sheet import Tone, paragraph, plots, section, sheet, table, tag, verdict
from functions.retraining.svg import histogram, shares
from lastmile.metrics import primary
from lastmile.spec import ModelSpec

SPECIAL = re.compile(r"[\\|`\[\]]")


@dataclass(frozen=True)
class Facts:
    """What the steps of a run found out; what is None or empty is left out. `gates` are outcomes as documents, `data`
    is a data report, `compression` has the candidates and the kind that was adopted."""

    spec: ModelSpec
    evaluation: Evaluation
    gates: Sequence[Mapping[str, Any]] = ()
    data: Mapping[str, Any] | None = None
    compression: Mapping[str, Any] = field(default_factory=dict)
    certificate: Mapping[str, Any] = field(default_factory=dict)
    lineage: Mapping[str, Any] = field(default_factory=dict)
    version: int | None = None

    @property
    def title(self) -> str:
        return f"{self.spec.name}{'' if self.version is None else f', version {self.version}'}: model card"

    @property
    def passed(self) -> bool:
        return all(gate["passed"] for gate in self.gates)

    @property
    def headline(self) -> str:
        """How good it is, in one sentence."""
        metric = primary(self.spec.task).name
        named = next((gate["metric"] for gate in self.gates), metric)
        found = self.evaluation.metrics.get(named) or self.evaluation.metrics[metric]
        said = f"{named} {spread(found)} on {self.evaluation.rows:,} rows that it has not seen"
        champion = self.evaluation.champion
        if champion is None or champion.reason is not None or champion.metrics[named].value is None:
            return f"{said}."
        return f"{said}; version {champion.version} has {champion.metrics[named].value:.4g} on the same rows."

    @property
    def word(self) -> str:
        if not self.gates:
            return "No gates"
        failed = sum(not gate["passed"] for gate in self.gates)
        return f"{failed} of {len(self.gates)} gates failed" if failed else f"All {len(self.gates)} gates passed"


def card(found: Facts) -> tuple[str, str]:
    """As Markdown and as one self-contained HTML page. The same facts give the same bytes."""
    return _markdown(found), _page(found)


def _grids(found: Facts) -> Iterator[Grid]:
    yield cardtables.gates(found.gates)
    yield cardtables.metrics(found.evaluation)
    yield cardtables.confusions(found.evaluation.curves)
    yield from cardtables.groups(found.evaluation)
    if found.data is not None:
        yield cardtables.columns(found.data)
    yield cardtables.compression(found.compression)
    yield from cardtables.certificate(found.certificate)
    yield cardtables.facts("Training", cardtables.training(found.spec))
    yield cardtables.facts("Lineage", found.lineage)


def _markdown(found: Facts) -> str:
    parts = [f"# {found.title}", found.spec.description, f"**{found.word}.** {_plain(found.headline)}"]
    for grid in _grids(found):
        if grid.rows:
            parts += [f"## {_plain(grid.title)}", *([_plain(grid.note)] if grid.note else []), _markdown_table(grid)]
    return "\n\n".join(parts) + "\n"


def _markdown_table(grid: Grid) -> str:
    rule = ["---:" if place in grid.numbers else "---" for place in range(len(grid.heads))]
    rows = [grid.heads, rule, *grid.rows]
    return "\n".join(f"| {' | '.join(_plain(cell).replace('\n', ' ') for cell in row)} |" for row in rows)


def _plain(text: str) -> str:
    """Without what Markdown takes for a tag, an image or the end of a cell."""
    return SPECIAL.sub(r"\\\g<0>", text.replace("&", "&amp;").replace("<", "&lt;"))


def _page(found: Facts) -> str:
    tone: Tone = "plain" if not found.gates else "good" if found.passed else "bad"
    lead = f"{escape(found.spec.description)}<br>Task: {found.spec.task}."
    return sheet(found.title, lead, (verdict(tone, found.word, found.headline), *_sections(found)))


def _sections(found: Facts) -> Iterator[str]:
    for grid in _grids(found):
        match grid.title:
            case "Gates":
                yield _section(grid, rows=[(_passed(word), escape(sentence)) for word, sentence in grid.rows])
            case "Metrics":
                yield _section(grid, extra=("interval", intervals(found.evaluation)))
                yield section("Plots", plots(*figures(found.evaluation)))
            case "Data":
                assert found.data is not None
                drawn = [_plot(column, found.data) for column in found.data["columns"]]
                yield _section(grid, extra=("distribution", drawn))
            case _:
                yield _section(grid)


def _section(
    grid: Grid, *, rows: Sequence[Sequence[str]] | None = None, extra: tuple[str, Sequence[str]] | None = None
) -> str:
    """`extra` is a last column of HTML, and its head."""
    cells = [tuple(map(escape, row)) for row in grid.rows] if rows is None else rows
    heads = grid.heads
    if extra is not None:
        heads, cells = (*heads, extra[0]), [(*row, last) for row, last in zip(cells, extra[1], strict=True)]
    drawn = table(heads, cells, numbers=grid.numbers)
    return section(grid.title, paragraph(grid.note) if drawn else "", drawn)


def _passed(word: str) -> str:
    return tag("good" if word == "passed" else "bad", word)


def _plot(column: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    if column["top"]:
        rows = [(each["value"], each["count"]) for each in column["top"][:5]]
        return shares(rows, data["rows"]["usable"], f"The most frequent values of {column['name']}")
    if column["histogram"]:
        return histogram(column["histogram"]["counts"], f"How the values of {column['name']} are distributed")
    return ""
