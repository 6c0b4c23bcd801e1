"""How the monthly cost grows with the requests, as a picture for a terminal and one for a page."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

LOWEST, HIGHEST = 0.001, 10_000  # requests per second that may be asked for: all of them are drawn and compared
RATES = tuple(10 ** (step / 10) for step in range(-30, 41))
WIDTH, HEIGHT = 64, 16  # of the picture in a terminal
COLOURS = ("#0b62d0", "#c2410c", "#15803d", "#7c3aed", "#b91c1c", "#0e7490", "#a16207", "#475569")

type Costs = Callable[[float], Mapping[str, float]]  # by family, at so many requests per second


@dataclass(frozen=True)
class Curves:
    rates: tuple[float, ...]
    monthly: Mapping[str, tuple[float, ...]]

    @classmethod
    def of(cls, costs: Costs, rates: tuple[float, ...] = RATES) -> "Curves":
        found = [costs(rate) for rate in rates]
        return cls(rates, {family: tuple(one[family] for one in found) for family in found[0]})


def in_text(curves: Curves, rps: float) -> str:
    """Letters on two logarithmic axes; where lines meet, the cheaper one is seen. `|` is the rate asked for."""
    families = list(curves.monthly)
    letters = dict(zip(families, "ABCDEFGHIJ", strict=False))
    low, high = _range(curves)
    grid = [[" "] * WIDTH for _ in range(HEIGHT)]
    for column in range(WIDTH):
        place = round(column * (len(curves.rates) - 1) / (WIDTH - 1))
        for family in sorted(families, key=lambda name: -curves.monthly[name][place]):
            row = round((HEIGHT - 1) * (1 - _share(curves.monthly[family][place], low, high)))
            grid[row][column] = letters[family]
    marked = round((WIDTH - 1) * _share(rps, curves.rates[0], curves.rates[-1]))
    for line in grid:
        line[marked] = "|" if line[marked] == " " else line[marked]
    lines = [f"{_money(high if not row else low):>9} " if row in (0, HEIGHT - 1) else " " * 10 for row in range(HEIGHT)]
    drawn = [f"{label}│{''.join(line).rstrip()}" for label, line in zip(lines, grid, strict=True)]
    axis = f"{' ' * 10}└{'─' * WIDTH}"
    ends = f"{' ' * 11}{curves.rates[0]:<8g}{'requests per second':^{WIDTH - 16}}{curves.rates[-1]:>8g}"
    legend = [f"{' ' * 11}{letter} {family}" for family, letter in letters.items()]
    return "\n".join([*drawn, axis, ends, *legend])


def in_svg(curves: Curves, rps: float, title: str) -> str:
    """A file by itself, for light and dark backgrounds."""
    width, height, left, top, plot_width, plot_height = 820, 460, 70, 40, 520, 360
    low, high = _range(curves)

    def across(rate: float) -> float:
        return left + plot_width * _share(rate, curves.rates[0], curves.rates[-1])

    def down(cost: float) -> float:
        return top + plot_height * (1 - _share(cost, low, high))

    parts = [f'<text x="{left}" y="22" font-size="15">{escape(title)}</text>']
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        if low <= 10**power <= high:
            parts.append(_line(left, down(10**power), left + plot_width, down(10**power), "grid"))
            parts.append(f'<text x="{left - 8}" y="{down(10**power) + 4:.1f}" class="end">{_money(10.0**power)}</text>')
    for power in range(round(math.log10(curves.rates[0])), round(math.log10(curves.rates[-1])) + 1):
        parts.append(_line(across(10**power), top, across(10**power), top + plot_height, "grid"))
        parts.append(
            f'<text x="{across(10**power):.1f}" y="{top + plot_height + 18}" class="mid">{10.0**power:,g}</text>'
        )
    parts.append(_line(across(rps), top, across(rps), top + plot_height, "asked"))
    parts.append(
        f'<text x="{left + plot_width / 2}" y="{height - 14}" class="mid">requests per second, on average</text>'
    )
    for index, (family, monthly) in enumerate(curves.monthly.items()):
        colour = COLOURS[index % len(COLOURS)]
        points = " ".join(
            f"{across(rate):.1f},{down(cost):.1f}" for rate, cost in zip(curves.rates, monthly, strict=True)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = top + 12 + 22 * index
        parts.append(f'<rect x="{left + plot_width + 20}" y="{y - 9}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{left + plot_width + 38}" y="{y + 2}">{escape(family)}</text>')
    style = (
        "text{font:13px sans-serif;fill:#444}.end{text-anchor:end}.mid{text-anchor:middle}"
        ".grid{stroke:#8884}.asked{stroke:#888;stroke-dasharray:4}"
        "@media(prefers-color-scheme:dark){text{fill:#ccc}}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    return f"{head}<title>{escape(title)}</title><style>{style}</style>{''.join(parts)}</svg>\n"


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<path class="{kind}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" fill="none"/>'


def _range(curves: Curves) -> tuple[float, float]:
    every: Sequence[float] = [cost for monthly in curves.monthly.values() for cost in monthly]
    low = max(min(every), 0.01)
    return low, max(low * 10, *every)


def _share(value: float, low: float, high: float) -> float:
    return math.log(max(value, low) / low) / math.log(high / low)


def _money(value: float) -> str:
    return f"${value:,.0f}" if value >= 1 else f"${value:.2f}"
