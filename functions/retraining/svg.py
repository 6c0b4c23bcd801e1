"""Small plots as inline SVG. Colours are the page's own (sheet.css), so that they suit light and dark."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from lastmile.tensors import Array

WIDTH, HEIGHT = 320, 260
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 40
MATRIX_NUMBERS = 12
POINTS = 400  # of a curve or a cloud: more cannot be told apart


@dataclass(frozen=True, eq=False)
class Line:
    """`kind` is the class of its colour: ours, other or faint."""

    x: Array
    y: Array
    label: str = ""
    kind: str = "ours"


def histogram(counts: Sequence[int], title: str) -> str:
    """A strip of bars, one per count."""
    highest, step = max((*counts, 1)), 160 / max(1, len(counts))
    bars = "".join(
        f'<rect x="{index * step:.1f}" y="{32 - height:.1f}" width="{step - 1:.1f}" height="{height:.1f}"/>'
        for index, count in enumerate(counts)
        if (height := max(1.0, 32 * count / highest) if count else 0)
    )
    return _svg(160, 32, f'<g class="ours">{bars}</g>', title, "strip")


def shares(rows: Sequence[tuple[str, int]], total: int, title: str) -> str:
    """One labelled bar per value, as long as its share."""
    body = ""
    for index, (value, count) in enumerate(rows):
        top, share = index * 18, count / max(1, total)
        body += f'<rect class="soft" x="0" y="{top + 1}" width="{max(1.0, 160 * share):.1f}" height="15" rx="2"/>'
        body += _text(4, top + 12.5, _cut(value, 17)) + _text(157, top + 12.5, f"{share:.0%}", "end")
    return _svg(160, 18 * len(rows), body, title, "strip")


def interval(value: float, low: float, high: float, scale: tuple[float, float], *, kind: str = "ours") -> str:
    """A dot on a line between the bounds, on a scale that several of them share."""
    width = 150

    def at(number: float) -> float:
        span = scale[1] - scale[0]
        return 6 + (width - 12) * ((number - scale[0]) / span if span else 0.5)

    body = (
        f'<path class="axis" d="M6 9H{width - 6}"/><path class="{kind} thick" d="M{at(low):.1f} 9H{at(high):.1f}"/>'
        f'<circle class="{kind}" cx="{at(value):.1f}" cy="9" r="4"/>'
    )
    return _svg(width, 18, body, f"{value:.4g}, from {low:.4g} to {high:.4g}", "strip")


def curves(
    title: str, x_name: str, y_name: str, lines: Sequence[Line], *, cloud: Line | None = None, unit: bool = False
) -> str:
    """Lines in one frame, over a cloud of points if there is one; with `unit` both axes go from 0 to 1."""
    drawn = [*lines, *([cloud] if cloud is not None else [])]
    frame = _Frame.of(drawn, unit=unit)
    body = frame.axes(x_name, y_name)
    if cloud is not None:
        body += f'<g class="cloud {cloud.kind}">{"".join(frame.dot(x, y) for x, y in _thinned(cloud))}</g>'
    body += "".join(f'<path class="{line.kind} line" d="{frame.path(line)}"/>' for line in lines)
    return _figure(title, _svg(WIDTH, HEIGHT, body, title, "plot"), [line for line in drawn if line.label])


def histogram_plot(title: str, counts: Sequence[int], low: float, high: float) -> str:
    """Bars over an axis from `low` to `high`."""
    frame = _Frame(low, high, 0.0, 1.05 * max((*counts, 1)))
    step = (high - low) / len(counts)
    bars = ""
    for index, count in enumerate(counts):
        left, right, top = frame.x(low + index * step), frame.x(low + (index + 1) * step), frame.y(count)
        bars += f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(right - left - 1, 0.5):.1f}" '
        bars += f'height="{frame.y(0) - top:.1f}"/>'
    body = frame.axes("error", "rows") + f'<g class="ours">{bars}</g>'
    return _figure(title, _svg(WIDTH, HEIGHT, body, title, "plot"))


def matrix(title: str, names: Sequence[str], counts: Array) -> str:
    """A confusion matrix, shaded by the share of each true class; numbers only where there is room."""
    side, left, top = len(names), 84, TOP + 14
    cell = (WIDTH - left - RIGHT) / side
    shades = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    body = ""
    for row in range(side):
        y = top + row * cell
        body += _text(78, y + cell / 2 + 4, _cut(names[row], 11), "end")
        for column in range(side):
            x, shade = left + column * cell, float(shades[row, column])
            body += f'<rect class="cell" x="{x:.1f}" y="{y:.1f}" width="{cell - 1:.1f}" height="{cell - 1:.1f}" '
            body += f'style="fill-opacity:{0.06 + 0.84 * shade:.2f}"/>'
            if side <= MATRIX_NUMBERS:
                number = _short(int(counts[row, column]))
                body += _text(x + cell / 2, y + cell / 2 + 4, number, "middle", "on" if shade > 0.55 else "")
    bottom = top + side * cell
    for column, name in enumerate(names):
        body += _text(left + (column + 0.5) * cell, bottom + 14, _cut(name, max(2, int(cell / 7))), "middle")
    body += _text(left + side * cell / 2, bottom + 32, "predicted", "middle", "name")
    body += _text(78, TOP + 6, "true", "end", "name")
    return _figure(title, _svg(WIDTH, int(bottom + 40), body, title, "plot"))


@dataclass(frozen=True)
class _Frame:
    left: float
    right: float
    bottom: float
    top: float

    @classmethod
    def of(cls, lines: Sequence[Line], *, unit: bool) -> "_Frame":
        if unit:
            return cls(0, 1, 0, 1)
        xs, ys = np.concatenate([line.x for line in lines]), np.concatenate([line.y for line in lines])
        (left, right), (bottom, top) = _span(xs), _span(ys)
        return cls(left, right, bottom, top)

    def x(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - self.left) / (self.right - self.left)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (value - self.bottom) / (self.top - self.bottom)

    def path(self, line: Line) -> str:
        return "M" + "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in _thinned(line))

    def dot(self, x: float, y: float) -> str:
        return f'<circle cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="2"/>'

    def axes(self, x_name: str, y_name: str) -> str:
        parts = []
        for value in _ticks(self.left, self.right):
            x = self.x(value)
            parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
            parts.append(_text(x, HEIGHT - BOTTOM + 15, _tick(value), "middle"))
        for value in _ticks(self.bottom, self.top):
            y = self.y(value)
            parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
            parts.append(_text(LEFT - 6, y + 4, _tick(value), "end"))
        parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_name, "middle", "name"))
        turned = f"translate(11 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)"
        parts.append(f'<g transform="{turned}">{_text(0, 0, y_name, "middle", "name")}</g>')
        return "".join(parts)


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    turned = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text{named} x="{x:.1f}" y="{y:.1f}"{turned}>{escape(text)}</text>'


def _figure(title: str, drawing: str, legend: Sequence[Line] = ()) -> str:
    keys = "".join(f'<span class="key {line.kind}">{escape(line.label)}</span>' for line in legend)
    return f"<figure><figcaption>{escape(title)}{keys}</figcaption>{drawing}</figure>"


def _svg(width: int, height: int, body: str, title: str, kind: str) -> str:
    head = f'<svg class="{kind}" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img"'
    return f'{head} aria-label="{escape(title, quote=True)}">{body}</svg>'


def _thinned(line: Line) -> list[tuple[float, float]]:
    step = max(1, len(line.x) // POINTS)
    last = [] if (len(line.x) - 1) % step == 0 else [len(line.x) - 1]
    rows = [*range(0, len(line.x), step), *last]
    return list(zip(line.x[rows].tolist(), line.y[rows].tolist(), strict=True))


def _span(values: Array) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = (high - low) * 0.04 or max(1e-9, abs(low) * 0.1, 0.5 if low == 0 else 0)
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / 4
    size = 10 ** np.floor(np.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough)
    return [float(value) for value in np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step]


def _tick(value: float) -> str:
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.0e}".replace("e+0", "e").replace("e-0", "e-")
    return f"{value:.4g}"


def _short(count: int) -> str:
    return f"{count / 1e6:.1f}M" if count >= 1e6 else f"{count / 1e3:.1f}k" if count >= 1e4 else str(count)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
