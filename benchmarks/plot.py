"""Bar charts as small SVG files that look right on light and dark pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from benchmarks.report import PLOTS, number

WIDTH = 760
LABEL = 230  # room for the names
VALUE = 90  # room behind the bars
BAR = 20
GAP = 10
STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #57606a }
.ours { fill: #2f81f7 } .other { fill: #8c959f } .spread { stroke: #57606a; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) { text { fill: #adbac7 } .spread { stroke: #adbac7 } }
</style>"""


@dataclass(frozen=True)
class Bar:
    """One contender: its median and quartiles."""

    label: str
    figure: dict[str, Any]
    is_ours: bool = False


def bars(name: str, title: str, rows: Sequence[Bar], *, folder: Path | None = None) -> str:
    """Writes `docs/performance/<name>.svg`, or in another folder; returns the Markdown that shows it on the page."""
    folder = folder or PLOTS
    scale = (WIDTH - LABEL - VALUE) / max(row.figure["high"] for row in rows)
    height = GAP + len(rows) * (BAR + GAP)
    body = "".join(_bar(row, GAP + index * (BAR + GAP), scale) for index, row in enumerate(rows))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.svg").write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title)}">{STYLE}\n{body}</svg>\n'
    )
    return f"![{title}](performance/{name}.svg)\n"


def _bar(row: Bar, top: int, scale: float) -> str:
    figure = row.figure
    middle, text = top + BAR / 2, top + BAR / 2 + 4.5
    low, end, high = (LABEL + figure[key] * scale for key in ("low", "median", "high"))
    kind = "ours" if row.is_ours else "other"
    value = f"{number(figure['median'])} {figure['unit']}"
    return (
        f'<text x="{LABEL - 8}" y="{text}" text-anchor="end">{escape(row.label)}</text>'
        f'<rect class="{kind}" x="{LABEL}" y="{top}" width="{end - LABEL:.1f}" height="{BAR}" rx="2"/>'
        f'<path class="spread" d="M{low:.1f} {middle}H{high:.1f}"/>'
        f'<text x="{high + 8:.1f}" y="{text}">{escape(value)}</text>\n'
    )
