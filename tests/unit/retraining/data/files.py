"""Uploads for the tests, and a model that wants them."""

import io
from collections.abc import Iterable
from typing import Any

from functions.retraining.data import Validation, validate
from lastmile.spec import ModelSpec
from lastmile.spec import validate as validated

ROWS = [(f"{number % 7}.5", ("DE", "FR", "IT")[number % 3], str(int(number % 5 == 0))) for number in range(100)]


def spec(**parts: Any) -> ModelSpec:
    """amount (above 0), country (of three) -> label 0 or 1."""
    document = {
        "name": "fraud",
        "task": "classification",
        "description": "Is it a fraud?",
        "inputs": [
            {"name": "amount", "datatype": "FP32", "shape": [-1, 1]},
            {"name": "country", "datatype": "BYTES", "shape": [-1, 1]},
        ],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2], "columns": ["0", "1"]},
        ],
        "features": {"amount": {"minimum": 0.0}, "country": {"categories": ["DE", "FR", "IT"]}},
        "training": {"recipe": "tabular", "target": "label"},
    }
    return validated({**document, **parts})


def csv(rows: Iterable[Iterable[str]] = ROWS, *, header: str = "amount,country,label", end: str = "\n") -> bytes:
    return end.join([header, *(",".join(row) for row in rows), ""]).encode()


def validation(data: bytes, model: ModelSpec | None = None, **options: Any) -> Validation:
    return validate(io.BytesIO(data), "march.csv", model or spec(), **options)
