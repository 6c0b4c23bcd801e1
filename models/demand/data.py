"""Sales of an outdoor shop, a row for each item and day: `python -m models.demand.data --out sales.csv`.

Everything is drawn. Each item has a level, a trend, a season (tents sell in summer, down jackets in winter), a weekday
pattern, and an answer to promotions (1.4 to 2.6 times as much) and to holidays (closed: next to nothing, but more on
the day before). Around that mean the units vary more than a Poisson law says, as real sales do, and what is above the
mean today is partly so tomorrow.

The noise is part of the data: the best possible forecast, who knew the mean itself, would still miss by about a third
of the units. A forecast with lags and calendar should cut the pinball loss of "as a week ago" by a third or more.
"""

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from models.maker import REQUESTS, TRAINING, Columns, command, generator

ROWS = 12_000
HISTORY = 28  # days that a request shows
START = date(2025, 4, 7)
ITEMS: dict[
    str, tuple[float, float, float, float]
] = {  # level, strength and peak (day of the year) of its season, price
    "tent-2p": (9, 0.9, 180, 289),
    "tent-family": (4, 0.9, 175, 549),
    "sleeping-bag": (12, 0.6, 190, 119),
    "mat": (14, 0.6, 185, 79),
    "gas-stove": (10, 0.5, 185, 44.9),
    "gas-cartridge": (45, 0.5, 190, 6.9),
    "freeze-dried-meal": (38, 0.4, 195, 7.9),
    "water-filter": (8, 0.4, 195, 42),
    "bottle": (22, 0.3, 190, 17.9),
    "vacuum-flask": (15, 0.7, 350, 29.9),
    "hiking-boots": (16, 0.3, 140, 179),
    "hiking-socks": (40, 0.2, 320, 22.9),
    "trekking-poles": (11, 0.4, 170, 89),
    "rucksack-30": (13, 0.3, 160, 109),
    "rain-jacket": (12, 0.4, 300, 219),
    "down-jacket": (8, 1.1, 345, 249),
    "fleece": (18, 0.8, 330, 89),
    "beanie": (16, 1.1, 350, 24.9),
    "sun-hat": (10, 1.0, 185, 29.9),
    "headlamp": (14, 0.5, 320, 59),
    "batteries-aaa": (34, 0.2, 350, 7.9),
    "climbing-shoes": (6, 0.2, 120, 119),
    "chalk": (20, 0.1, 60, 7.9),
    "bike-light": (12, 0.8, 320, 44.9),
}
HOLIDAYS = {(1, 1), (5, 1), (10, 3), (12, 25), (12, 26)}
WEEKDAYS = (0.85, 0.85, 0.9, 1.0, 1.2, 1.55, 0.65)
DISPERSION = 12.0  # the variance of a day is its mean and mean^2 / this
CARRIED = 0.35  # of yesterday's deviation


def make(rows: int = ROWS, seed: int = 0, *, stream: int = TRAINING) -> Columns:
    """`rows` is rounded up to whole days: each has a row for every item."""
    rng = generator(seed, stream)
    days = [START + timedelta(days=index) for index in range(math.ceil(rows / len(ITEMS)))]
    series = {item: sales(rng, item, days) for item in ITEMS}
    found: dict[str, list[Any]] = {name: [] for name in ("date", "item", "price", "promotion", "holiday", "units")}
    for index, day in enumerate(days):
        for item in ITEMS:
            price, promotion, units = (column[index] for column in series[item])
            row = (day.isoformat(), item, price, promotion, int((day.month, day.day) in HOLIDAYS), units)
            for column, value in zip(found.values(), row, strict=True):
                column.append(value)
    return found


def requests(seed: int, count: int = 5) -> list[dict[str, Any]]:
    """Items on days that no training saw, with the units of the days before."""
    days = math.ceil(count / len(ITEMS))
    made = make((HISTORY + days) * len(ITEMS), seed, stream=REQUESTS)
    units = np.array(made["units"]).reshape(-1, len(ITEMS))
    first = len(made["units"]) - days * len(ITEMS)
    return [
        {
            "history": units[row // len(ITEMS) - HISTORY : row // len(ITEMS), row % len(ITEMS)].tolist(),
            "time": int(datetime.fromisoformat(made["date"][row]).replace(tzinfo=UTC).timestamp()),
            **{name: made[name][row] for name in ("item", "price", "promotion", "holiday")},
        }
        for row in range(first, first + count)
    ]


def contexts(seed: int, count: int = 5) -> list[dict[str, Any]]:
    """What is in stock and on order of the items of `requests`."""
    rng = generator(seed, REQUESTS)
    stocks = [round(np.mean(row["history"]) * rng.uniform(0, 3)) for row in requests(seed, count)]
    return [{"stock": int(stock), "on_order": int(rng.choice([0, 0, 0, 6]))} for stock in stocks]


def sales(rng: np.random.Generator, item: str, days: list[date]) -> tuple[list[float], list[int], list[int]]:
    """Price, promotion and units of an item on each day."""
    level, season, peak, listed = ITEMS[item]
    trend, effect = float(rng.normal(0.08, 0.08)), float(rng.uniform(1.4, 2.6))
    promoted = promotions(rng, len(days))
    deviation, units = 0.0, []
    for index, day in enumerate(days):
        mean = level * math.exp(
            trend * index / 365 + season * math.cos(2 * math.pi * (day.timetuple().tm_yday - peak) / 365)
        )
        mean *= WEEKDAYS[day.weekday()] * (effect if promoted[index] else 1.0) * opened(day)
        deviation = CARRIED * deviation + float(rng.normal(0, 0.18))
        units.append(int(rng.poisson(mean * math.exp(deviation) * rng.gamma(DISPERSION, 1 / DISPERSION))))
    prices = [round(listed * (0.8 if on else 1.0), 2) for on in promoted]
    return prices, promoted, units


def promotions(rng: np.random.Generator, days: int) -> list[int]:
    """Weeks of lower prices, one in nine or so."""
    found: list[int] = []
    while len(found) < days:
        found += [0] * int(rng.geometric(1 / 50)) + [1] * 7
    return found[:days]


def opened(day: date) -> float:
    """Next to nothing on a holiday, more on the day before."""
    if (day.month, day.day) in HOLIDAYS:
        return 0.05
    after = day + timedelta(days=1)
    return 1.35 if (after.month, after.day) in HOLIDAYS else 1.0


if __name__ == "__main__":
    command(make, rows=ROWS, what="daily sales of an outdoor shop")
