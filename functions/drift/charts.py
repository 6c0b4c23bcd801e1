"""Small drawings as inline SVG: no script, no font, no colour of their own, and words for whoever cannot see them."""

from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

WIDTH, HEIGHT = 320, 120
LEFT, BOTTOM, TOP = 34, 18, 6
LONGEST_LABEL = 18
MOST_NAMED = 6
CHARACTER = 5.5  # the width of one, about
CELL, ROW = 14, 45  # the timeline's squares, and how many stand in a row


class Point(NamedTuple):
    """`low` and `high` bound the interval, where there is one."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None


class Moment(NamedTuple):
    """One earlier check: `kind` is its verdict as a class of the style sheet."""

    label: str
    verdict: str
    kind: str


def distribution(name: str, labels: Sequence[str], reference: Sequence[float], current: Sequence[float]) -> str:
    """Shares per bin: the reference as filled bars, this window as an outline over them."""
    most = max((*reference, *current), default=0.0) or 1.0
    step = (WIDTH - LEFT) / max(1, len(labels))
    drawn = [
        f'<rect class="reference" x="{LEFT + index * step + 1:.1f}" y="{_up(share, most):.1f}" '
        f'width="{max(0.5, step - 2):.1f}" height="{_floor() - _up(share, most):.1f}"/>'
        for index, share in enumerate(reference)
    ]
    path = [f"M{LEFT:.1f} {_floor():.1f}"]
    for index, share in enumerate(current):
        path.append(f"V{_up(share, most):.1f}H{LEFT + (index + 1) * step:.1f}")
    path.append(f"V{_floor():.1f}")
    drawn.append(f'<path class="current" d="{"".join(path)}"/>')
    drawn += _scale(0.0, most, percent=True)
    middles = [LEFT + (index + 0.5) * step for index in range(len(labels))]
    drawn += [_text(x, HEIGHT - 4, escape(label), "middle") for x, label in _apart(labels, middles)]
    told = "; ".join(
        f"{label}: {before:.1%} before, {now:.1%} now"
        for label, before, now in sorted(
            zip(labels, reference, current, strict=True), key=lambda one: -abs(one[1] - one[2])
        )[:3]
    )
    return _figure(f"{name}: share of the rows, reference and this window", f"Largest changes: {told}", drawn)


def line(name: str, points: Sequence[Point], *, unit_interval: bool = True) -> str:
    """Values in order, with a band for their intervals."""
    if not points:
        return ""
    values = [value for point in points for value in (point.value, point.low, point.high) if value is not None]
    low, high = min(values), max(values)
    spread = (high - low) or abs(high) or 1.0
    low, high = low - 0.1 * spread, high + 0.1 * spread
    if unit_interval:
        low, high = max(0.0, low), min(1.0, high)
    places = [LEFT + (WIDTH - LEFT) * (index + 0.5) / len(points) for index in range(len(points))]
    bands = [(x, point.low, point.high) for x, point in zip(places, points, strict=True)]
    drawn = []
    for x, bottom, top in bands:
        if bottom is not None and top is not None:
            drawn.append(f'<path class="band" d="M{x:.1f} {_at(bottom, low, high):.1f}V{_at(top, low, high):.1f}"/>')
    ends = [(x, _at(point.value, low, high)) for x, point in zip(places, points, strict=True)]
    drawn += [f'<path class="line" d="M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}"/>' for (a, b), (c, d) in pairwise(ends)]
    drawn += [
        f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2.5">'
        f"<title>{escape(point.label)}: {_figure_of(point)}</title></circle>"
        for (x, y), point in zip(ends, points, strict=True)
    ]
    drawn += _scale(low, high, percent=False)
    for index, label in _named([point.label for point in points], most=2):
        anchor = "start" if index == 0 and len(points) > 1 else "end"
        place = LEFT if anchor == "start" else WIDTH - 1
        drawn.append(_text(place, HEIGHT - 4, escape(label), anchor))
    newest = points[-1]
    return _figure(f"{name} over time", f"The newest, {newest.label}: {_figure_of(newest)}", drawn)


def timeline(moments: Sequence[Moment]) -> str:
    """A square per check, oldest first; a drifted one also carries a mark, so that colour is not all that tells."""
    rows = max(1, -(-len(moments) // ROW))
    width, height = min(len(moments), ROW) * CELL or CELL, rows * CELL
    drawn = []
    for index, moment in enumerate(moments):
        x, y = index % ROW * CELL, index // ROW * CELL
        title = f"<title>{escape(moment.label)}: {escape(moment.verdict)}</title>"
        drawn.append(
            f'<g>{title}<rect class="{moment.kind}" x="{x + 1}" y="{y + 1}" '
            f'width="{CELL - 2}" height="{CELL - 2}" rx="2"/>'
            + (f'<path class="mark" d="M{x + 4} {y + 4}l6 6m0 -6l-6 6"/>' if moment.kind == "drifted" else "")
            + "</g>"
        )
    counted = {moment.verdict: sum(one.verdict == moment.verdict for one in moments) for moment in moments}
    told = ", ".join(f"{count} {verdict}" for verdict, count in counted.items())
    return (
        f'<svg class="timeline" role="img" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"<title>Verdicts of the last {len(moments)} checks</title><desc>{escape(told)}</desc>{''.join(drawn)}</svg>"
    )


def _figure(title: str, told: str, drawn: Sequence[str]) -> str:
    return (
        f'<svg role="img" viewBox="0 0 {WIDTH} {HEIGHT}"><title>{escape(title)}</title><desc>{escape(told)}</desc>'
        f"{''.join(drawn)}</svg>"
    )


def _scale(low: float, high: float, *, percent: bool) -> list[str]:
    drawn = [f'<path class="axis" d="M{LEFT} {_floor()}H{WIDTH}"/>']
    for value, y in ((low, _floor()), (high, TOP + 6)):
        text = f"{value:.0%}" if percent else f"{value:.3g}"
        drawn.append(_text(LEFT - 4, y, text, "end"))
    return drawn


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def _named(labels: Sequence[str], *, most: int = MOST_NAMED) -> list[tuple[int, str]]:
    """All labels when there are few, else some at even distances, the first and the last among them."""
    if len(labels) <= most:
        return list(enumerate(labels))
    chosen = sorted({round(index * (len(labels) - 1) / (most - 1)) for index in range(most)})
    return [(index, labels[index]) for index in chosen]


def _apart(labels: Sequence[str], middles: Sequence[float]) -> list[tuple[float, str]]:
    """Some labels and where their middles go: inside the drawing, and none over another."""
    placed: list[tuple[float, float, str]] = []  # middle, half of the width, words
    named = _named([_short(label) for label in labels])
    for index, label in [named[0], *named[:0:-1]] if named else []:  # the ends first
        half = max(1, len(label)) * CHARACTER / 2
        x = min(max(middles[index], half), WIDTH - half)
        if all(abs(x - other) >= half + room + CHARACTER for other, room, _ in placed):
            placed.append((x, half, label))
    return [(x, label) for x, _, label in placed]


def _figure_of(point: Point) -> str:
    interval = "" if point.low is None or point.high is None else f" ({point.low:.3g} to {point.high:.3g})"
    return f"{point.value:.4g}{interval}"


def _short(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"


def _floor() -> int:
    return HEIGHT - BOTTOM


def _up(share: float, most: float) -> float:
    return _at(share, 0.0, most)


def _at(value: float, low: float, high: float) -> float:
    return _floor() - (_floor() - TOP) * (value - low) / ((high - low) or 1.0)
