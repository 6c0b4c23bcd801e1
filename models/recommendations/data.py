"""Purchases of an outdoor shop's customers: `python -m models.recommendations.data --out purchases.csv`.

The products are those of `catalogue.csv`, 120 in ten categories. Each customer likes one to three categories, each
category has a few products that everybody buys and many that few buy, and what is bought together belongs together (a
tent, then a mat; a headlamp, then batteries): the next purchase follows the last one in three cases of ten. A third of
the customers bought fewer than five things, as in a real shop. One purchase in ten is a present, for no reason
that the history holds.

Popularity alone finds about one in eight of what a customer buys in the newest fifth of the purchases among its ten
best; a recommender that knows which products are bought together finds close to half, because the companions of a
product are few. It cannot find all: within a liked category the choice is drawn, and presents are drawn from all.
"""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.maker import REQUESTS, TRAINING, Columns, command, generator

ROWS = 15_000
DAYS = 365
START = datetime(2025, 9, 1, tzinfo=UTC).timestamp()
CATALOGUE = Path(__file__).with_name("catalogue.csv")
PER_CUSTOMER = 10.0  # purchases in the mean
FOLLOWS, PRESENT = 0.3, 0.1
STEEPNESS = 0.8  # of popularity inside a category
FAMILIES = (
    ("tents", "sleeping", "cooking", "water"),
    ("hiking", "clothing", "navigation"),
    ("climbing", "light", "cycling"),
)


class Product(NamedTuple):
    item: str
    name: str
    category: str
    price: float


@cache
def catalogue() -> tuple[Product, ...]:
    with CATALOGUE.open(encoding="utf-8", newline="") as file:
        return tuple(
            Product(row["item"], row["name"], row["category"], float(row["price"])) for row in csv.DictReader(file)
        )


def make(rows: int = ROWS, seed: int = 0, *, stream: int = TRAINING) -> Columns:
    rng = generator(seed, stream)
    bought: list[tuple[float, str, str]] = []
    number = 0
    while len(bought) < rows:
        number += 1
        bought += [(at, f"u{number:05d}", item) for at, item in history(rng)]
    latest = sorted(bought[:rows])
    return {
        "time": [f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}" for at, _, _ in latest],
        "user": [user for _, user, _ in latest],
        "item": [item for _, _, item in latest],
    }


def histories(seed: int, count: int = 5) -> list[list[str]]:
    """What customers bought or looked at whom no training saw, oldest first."""
    rng = generator(seed, REQUESTS)
    return [[item for _, item in history(rng)] for _ in range(count)]


def requests(seed: int, count: int = 5) -> list[dict[str, Any]]:
    """Customers who are not known, with what they bought or looked at so far."""
    return [{"user": None, "history": items} for items in histories(seed, count)]


def history(rng: np.random.Generator) -> list[tuple[float, str]]:
    """Times and items of one customer, each item once."""
    tastes = liked(rng)
    wanted = max(int(rng.gamma(1.1, PER_CUSTOMER / 1.1)), 1)
    times = np.sort(rng.uniform(START, START + DAYS * 86_400, wanted)).tolist()
    return list(zip(times, chosen(rng, tastes, wanted), strict=False))


def liked(rng: np.random.Generator) -> dict[str, float]:
    """Shares of one to three categories, mostly of one family."""
    family = FAMILIES[int(rng.choice(len(FAMILIES), p=[0.45, 0.33, 0.22]))]
    names = [str(name) for name in rng.permutation(family)[: int(rng.integers(1, 4))]]
    if rng.random() < 0.25:
        names[-1] = str(rng.choice(sorted({product.category for product in catalogue()})))
    weights = rng.dirichlet(np.full(len(names), 1.5)).tolist()
    return dict(zip(names, weights, strict=True))


def chosen(rng: np.random.Generator, tastes: dict[str, float], wanted: int) -> Iterator[str]:
    products = catalogue()
    places = {product.item: index for index, product in enumerate(products)}
    seen: set[str] = set()
    last: str | None = None
    for _ in range(wanted):
        draw = rng.random()
        if draw < PRESENT:
            weights = np.ones(len(products))
        elif draw < PRESENT + FOLLOWS and last is not None:
            weights = companions()[places[last]]
        else:
            weights = np.array([tastes.get(product.category, 0.0) for product in products]) * popularity()
        weights = weights * [product.item not in seen for product in products]
        if weights.sum() <= 0:
            return
        last = products[int(rng.choice(len(products), p=weights / weights.sum()))].item
        seen.add(last)
        yield last


@cache
def popularity() -> Any:
    """Of each product inside its category: the n-th has a share that falls with n."""
    rng = np.random.default_rng(7)  # the same for every seed: it belongs to the shop
    products = catalogue()
    weights = np.empty(len(products))
    for category in dict.fromkeys(product.category for product in products):
        places = [index for index, product in enumerate(products) if product.category == category]
        weights[places] = 1.0 / np.arange(1, len(places) + 1)[rng.permutation(len(places))] ** STEEPNESS
    return weights


@cache
def companions() -> Any:
    """What is bought after each product: six others of its family, fixed by the shop, the first the likeliest."""
    rng = np.random.default_rng(11)
    products = catalogue()
    weights = np.zeros((len(products), len(products)))
    for index, product in enumerate(products):
        family = next(family for family in FAMILIES if product.category in family)
        others = [place for place, other in enumerate(products) if other.category in family and place != index]
        for rank, place in enumerate(rng.permutation(others)[:6].tolist()):
            weights[index, place] = 1.0 / (rank + 1)
    return weights


if __name__ == "__main__":
    command(make, rows=ROWS, what="purchases in an outdoor shop")
