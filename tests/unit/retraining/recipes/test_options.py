"""No option without effect: a recipe that is told something else makes another graph."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from functions.retraining.recipes import load
from functions.retraining.table import Table
from lastmile.spec import ModelSpec
from tests.unit.retraining.recipes.examples import (
    classified,
    mail,
    messages,
    purchases,
    rows,
    sales,
    shop,
    sold,
    strange,
    texts,
)
from tests.unit.retraining.recipes.test_contract import REGRESSED
from tests.unit.retraining.recipes.transformers import small_transformer

DOCS = (Path(__file__).parents[4] / "docs/recipes.md").read_text()
PAIR = [["a", "b"]]


def market() -> Table:
    """Purchases with two more columns that could tell users and items apart."""
    table = purchases()
    households = [f"h{number // 3}" for number in range(table.rows)]
    shelves = [item[:1] for item in table["item"].tolist()]
    return Table({**table.columns, "household": texts(households), "shelf": texts(shelves)})


def seasonal() -> Table:
    """Sales with another number that is known of each day."""
    table = sold()
    return Table({**table.columns, "price": 10 + np.arange(table.rows) % 5 / 2.0})


def priced(**options: Any) -> ModelSpec:
    wanted = sales(**options)
    price = replace(wanted.inputs[-1], name="price")
    return replace(wanted, inputs=(*wanted.inputs, price))


def regressed(**options: Any) -> ModelSpec:
    assert REGRESSED.training is not None
    training = replace(REGRESSED.training, options={**REGRESSED.training.options, **options})
    return replace(REGRESSED, training=training)


type Make = Callable[..., ModelSpec]
# By recipe: its spec, its rows, and a change of every option.
CASES: dict[str, tuple[Make, Callable[[], Table], dict[str, Any]]] = {
    "tabular": (
        lambda **options: classified({"trees": 60, **options}),
        lambda: rows(1500),
        {
            "products": PAIR,
            "differences": PAIR,
            "ratios": PAIR,
            "balanced": True,
            "calibrated": False,
            "seconds": 30,
            "trees": 5,
        },
    ),
    "tabular, regression": (regressed, rows, {"loss": "absolute_error"}),
    "text": (
        messages,
        mail,
        {
            "characters": [3],
            "words": 1,
            "longest": 10,
            "fewest_rows": 40,
            "vocabulary": 100,
            "strength": 1.0,
            "steps": 20,
        },
    ),
    "text, encoder": (
        lambda **options: messages(**{"encoder": small_transformer(), "pieces": 20, **options}),
        mail,
        {"encoder": "none", "pieces": 8, "encoder_share": 5.0},
    ),
    "recommender": (
        lambda **options: shop(by_user=True, **options),
        market,
        {"user": "household", "item": "shelf", "fewest": 80, "links": 1, "penalty": 1.0},
    ),
    "forecast": (
        priced,
        seasonal,
        {
            "series": "promotion",
            "horizon": 3,
            "seasons": [5],
            "products": [["promotion", "price"]],
            "differences": [["promotion", "price"]],
            "ratios": [["promotion", "price"]],
            "seconds": 60,
            "trees": 5,
        },
    ),
    "anomaly": (
        strange,
        rows,
        {
            "contamination": 0.2,
            "trees": 10,
            "rows_per_tree": 32,
            "products": PAIR,
            "differences": PAIR,
            "ratios": PAIR,
        },
    ),
}
CHANGES = [(recipe, option) for recipe, (_, _, changes) in CASES.items() for option in changes]


@cache
def unchanged(recipe: str) -> bytes:
    make, table, _ = CASES[recipe]
    return load(make()).fit(table(), make()).onnx


@pytest.mark.parametrize(("recipe", "option"), CHANGES)
def test_an_option_changes_the_graph(recipe: str, option: str) -> None:
    make, table, changes = CASES[recipe]
    wanted = make(**{option: changes[option]})
    assert load(wanted).fit(table(), wanted).onnx != unchanged(recipe)


@pytest.mark.parametrize("recipe", ["tabular", "text", "recommender", "forecast", "anomaly"])
def test_every_documented_option_is_tried_here(recipe: str) -> None:
    section = re.split(r"^## ", DOCS, flags=re.MULTILINE)
    (mine,) = [part for part in section if part.startswith(f"{recipe}\n")]
    cells = re.findall(r"^\| (`.*?) \|", mine, re.MULTILINE)
    documented = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    tried = {option for case, option in CHANGES if case.partition(",")[0] == recipe}
    assert documented == tried
