"""Small specs and tables for the recipes' tests: numbers that can be learnt, texts, purchases, sales."""

from typing import Any

import numpy as np

from functions.retraining.table import Table
from lastmile.spec import ModelSpec, validate
from lastmile.tensors import Array

PROBABILITIES = {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2], "columns": ["0", "1"]}
LABEL = {"name": "label", "datatype": "INT64", "shape": [-1]}
NUMBERS = {"name": "numbers", "datatype": "FP32", "shape": [-1, 2], "columns": ["a", "b"], "nullable": True}
KIND = {"name": "kind", "datatype": "BYTES", "shape": [-1]}


def spec(task: str, inputs: list[Any], outputs: list[Any], training: dict[str, Any], **more: Any) -> ModelSpec:
    return validate(
        {
            "name": "example",
            "task": task,
            "description": "An example.",
            "inputs": inputs,
            "outputs": outputs,
            "training": training,
            **more,
        }
    )


def texts(values: list[str]) -> Array:
    column = np.empty(len(values), object)
    column[:] = values
    return column


def classified(options: dict[str, Any] | None = None, **more: Any) -> ModelSpec:
    training = {"recipe": "tabular", "target": "y", "options": {"seconds": 1, "trees": 30, **(options or {})}}
    return spec("classification", [NUMBERS, KIND], [LABEL, PROBABILITIES], training, **more)


def rows(count: int = 600, seed: int = 0) -> Table:
    """`y` follows a, b and the kind; some of each are missing; `value` is a number that does."""
    rng = np.random.default_rng(seed)
    a, b, kind = rng.normal(size=count), rng.normal(size=count), rng.integers(0, 5, count)
    score = 2 * a + b * (kind > 2) + rng.normal(size=count) * 0.5
    a[rng.random(count) < 0.05] = np.nan
    names = ["" if unknown else f"k{code}" for code, unknown in zip(kind, rng.random(count) < 0.05, strict=True)]
    return Table({"a": a, "b": b, "kind": texts(names), "y": (score > 1).astype(np.int64), "value": 100 + 10 * score})


def messages(**options: Any) -> ModelSpec:
    outputs = [
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3], "columns": ["card", "login", "refund"]},
    ]
    inputs = [{"name": "text", "datatype": "BYTES", "shape": [-1, 1]}]
    training = {"recipe": "text", "target": "team", "options": {"steps": 10, **options}}
    return spec("classification", inputs, outputs, training)


def mail(count: int = 150) -> Table:
    rng = np.random.default_rng(0)
    words = {
        "card": ["my card is lost", "the card was declined", "a new card, please"],
        "login": ["I cannot log in", "password forgotten", "the login page is blank"],
        "refund": ["I want my money back", "when do I get a refund?", "refund for Ärger"],
    }
    teams = [*words]
    found = [(team, words[team][rng.integers(3)]) for team in rng.choice(teams, count).tolist()]
    greeting = ["Hello", "Hi", "URGENT:", ""]
    said = [f"{greeting[rng.integers(4)]} {text} {'!' * rng.integers(3)}" for _, text in found]
    return Table({"text": texts(said), "team": texts([team for team, _ in found])})


def shop(*, by_user: bool = False, places: int = 3, time: bool = True, **options: Any) -> ModelSpec:
    inputs = [{"name": "history", "datatype": "BYTES", "shape": [-1, -1]}]
    inputs += [{"name": "user", "datatype": "BYTES", "shape": [-1]}] if by_user else []
    outputs = [
        {"name": "items", "datatype": "BYTES", "shape": [-1, places]},
        {"name": "scores", "datatype": "FP32", "shape": [-1, places]},
    ]
    training: dict[str, Any] = {"recipe": "recommender", "options": options}
    return spec("recommendation", inputs, outputs, training | ({"time": "at"} if time else {}))


def purchases(users: int = 150) -> Table:
    """Who buys tea buys a pot next, who buys a bow buys arrows; everybody buys bread."""
    rng = np.random.default_rng(0)
    found: list[tuple[str, str, float]] = []
    for user in range(users):
        first, second = [("tea", "pot"), ("bow", "arrows")][rng.integers(2)]
        start = float(rng.integers(0, 1000))
        bought = [first, second] if rng.random() < 0.9 else [first]
        bought += ["bread"] if rng.random() < 0.7 else []
        found += [(f"u{user}", item, start + place) for place, item in enumerate(bought)]
    names, items, at = zip(*found, strict=True)
    return Table({"user": texts([*names]), "item": texts([*items]), "at": np.array(at) * 3600})


def sales(**options: Any) -> ModelSpec:
    inputs = [
        {"name": "history", "datatype": "FP32", "shape": [-1, 21], "nullable": True},
        {"name": "time", "datatype": "INT64", "shape": [-1]},
        {"name": "promotion", "datatype": "FP32", "shape": [-1]},
    ]
    outputs = [{"name": "quantiles", "datatype": "FP32", "shape": [-1, 3], "columns": ["0.1", "0.5", "0.9"]}]
    training = {
        "recipe": "forecast",
        "target": "units",
        "time": "date",
        "options": {"series": "item", "seconds": 1, "trees": 30, **options},
    }
    return spec("forecast", inputs, outputs, training)


def sold(days: int = 120) -> Table:
    """Two items with a week's pattern, one ten times the other, and promotions that double the units."""
    rng = np.random.default_rng(0)
    day, item = np.tile(np.arange(days), 2), np.repeat(np.arange(2), days)
    promotion = (rng.random(len(day)) < 0.2).astype(float)
    mean = np.where(item == 1, 100, 10) * (1 + 0.5 * (day % 7 == 5)) * (1 + promotion)
    units = rng.poisson(mean).astype(float)
    names = texts(["large" if code else "small" for code in item.tolist()])
    return Table({"item": names, "date": day * 86_400.0, "promotion": promotion, "units": units})


def strange(**options: Any) -> ModelSpec:
    outputs = [{"name": "score", "datatype": "FP32", "shape": [-1]}, LABEL]
    training = {"recipe": "anomaly", "target": "y", "options": {"trees": 30, "rows_per_tree": 64, **options}}
    return spec("anomaly", [NUMBERS, KIND], outputs, training)
