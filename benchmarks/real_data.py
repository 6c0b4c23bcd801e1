"""Public data sets, read and divided as their notes say, with a spec for each. None of them is part of the project."""

import csv
import gzip
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from functions.retraining.recipes.contract import Examples
from functions.retraining.recipes.split import folds
from functions.retraining.table import Table
from lastmile.metrics import measure
from lastmile.spec import ModelSpec, validate
from lastmile.tensors import Array
from layers.uv import ROOT

FOLDER = ROOT.parent / "shared/data"
LABEL = {"name": "label", "datatype": "INT64", "shape": [-1]}
PROBABILITIES = {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2], "columns": ["0", "1"]}


class Prepared(NamedTuple):
    spec: ModelSpec
    training: Table
    held_out: Table
    references: Callable[[Examples], dict[str, float]] = lambda examples: {}


def banking77() -> list[Prepared]:
    """As it is."""
    training, held_out = (_banking(f"banking77/{part}.csv") for part in ("train", "test"))
    names = sorted(set(training["category"].tolist()))
    outputs = [
        LABEL | {"datatype": "BYTES"},
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(names)], "columns": names},
    ]
    inputs = [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    spec = spec_of("classification", inputs, outputs, {"recipe": "text", "target": "category"})
    return [Prepared(spec, training, held_out)]


def ai4i2020() -> list[Prepared]:
    """Five folds, stratified. The recipe's options add speed times torque, torque times wear, and the warming."""
    rows = _csv("ai4i2020/ai4i2020.csv", "utf-8-sig")
    target = "Machine failure"
    left_out = ("UDI", "Product ID", "Type", target, "TWF", "HDF", "PWF", "OSF", "RNF")
    numbers = [name for name in rows[0] if name not in left_out]
    columns = {name: np.array([float(row[name]) for row in rows]) for name in numbers}
    failed = np.array([int(row[target]) for row in rows])
    table = Table(columns | {"Type": texts(row["Type"] for row in rows), target: failed})
    air, process, speed, torque, wear = numbers
    options = {"products": [[speed, torque], [torque, wear]], "differences": [[process, air]]}
    inputs = [
        {"name": "sensors", "datatype": "FP32", "shape": [-1, len(numbers)], "columns": numbers},
        {"name": "Type", "datatype": "BYTES", "shape": [-1]},
    ]
    spec = spec_of(
        "classification", inputs, [LABEL, PROBABILITIES], {"recipe": "tabular", "target": target, "options": options}
    )
    fold = folds(table.rows, 5, 0, table[target])
    return [Prepared(spec, table.take(fold != number), table.take(fold == number)) for number in range(5)]


def fraud_handbook() -> list[Prepared]:
    """A week to train on, a week of delay, a week to test on without the cards whose fraud was known by then."""
    with gzip.open(FOLDER / "fraud_handbook_3weeks/transactions_2018-07-25_2018-08-14.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    left_out = ("TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_TIME_SECONDS", "TX_TIME_DAYS")
    numbers = [name for name in rows[0] if name not in (*left_out, "TX_FRAUD", "TX_FRAUD_SCENARIO")]
    columns = {name: np.array([float(row[name]) for row in rows]) for name in numbers}
    fraud = np.array([int(row["TX_FRAUD"]) for row in rows])
    day = np.array([int(row["TX_TIME_DAYS"]) for row in rows])
    customer = np.array([int(row["CUSTOMER_ID"]) for row in rows])
    first = int(day.min())
    training, held_out = day < first + 7, np.zeros(len(day), bool)
    known = set(customer[training & (fraud == 1)].tolist())
    for number in range(7):
        known |= set(customer[(day == first + 6 + number) & (fraud == 1)].tolist())
        held_out |= (day == first + 14 + number) & ~np.isin(customer, list(known))
    table = Table(columns | {"TX_FRAUD": fraud})
    inputs = [{"name": "features", "datatype": "FP32", "shape": [-1, len(numbers)], "columns": numbers}]
    spec = spec_of("classification", inputs, [LABEL, PROBABILITIES], {"recipe": "tabular", "target": "TX_FRAUD"})
    return [Prepared(spec, table.take(training), table.take(held_out))]


def movietweetings() -> list[Prepared]:
    """Whoever rated a film wanted it. The newest fifth of the ratings is held out, of all users who are in it."""
    lines = (FOLDER / "movietweetings_100k/ratings.dat").read_text().splitlines()
    users, items, _, times = zip(*(line.split("::") for line in lines), strict=True)
    table = Table({"user": texts(users), "item": texts(items), "at": np.array(times, float)})
    inputs = [{"name": "history", "datatype": "BYTES", "shape": [-1, -1]}]
    outputs = [
        {"name": "items", "datatype": "BYTES", "shape": [-1, 20]},
        {"name": "scores", "datatype": "FP32", "shape": [-1, 20]},
    ]
    spec = spec_of("recommendation", inputs, outputs, {"recipe": "recommender", "time": "at"})
    held_out = table["at"] >= np.sort(table["at"])[int(0.8 * table.rows)]
    training = table.take(~held_out)

    def popular(examples: Examples) -> dict[str, float]:
        ranked = [item for item, _ in Counter(training["item"].tolist()).most_common()]
        seen = [set(row) for row in examples.feeds["history"].tolist()]
        best = np.array([[item for item in ranked[:1000] if item not in known][:10] for known in seen], object)
        outputs = {"items": best, "scores": np.zeros(best.shape)}
        found = measure("recommendation", outputs, examples.truth, names=["recall@10"])
        return {"popularity": found["recall@10"].value or 0.0}

    return [Prepared(spec, training, table.take(held_out), popular)]


def bike_sharing() -> list[Prepared]:
    """The next hour: two weeks of history, calendar and weather; `casual` and `registered` are left out."""
    rows = _csv("bike_sharing/hour.csv")
    numbers = ["season", "yr", "holiday", "workingday", "weathersit", "temp", "atemp", "hum", "windspeed"]
    time = np.array(
        [datetime.fromisoformat(row["dteday"]).replace(tzinfo=UTC).timestamp() + 3600 * int(row["hr"]) for row in rows]
    )
    columns = {name: np.array([float(row[name]) for row in rows]) for name in (*numbers, "cnt")}
    inputs = [
        {"name": "history", "datatype": "FP32", "shape": [-1, 336], "nullable": True},
        {"name": "time", "datatype": "FP64", "shape": [-1]},
        {"name": "known", "datatype": "FP32", "shape": [-1, len(numbers)], "columns": numbers},
    ]
    outputs = [{"name": "quantiles", "datatype": "FP32", "shape": [-1, 3], "columns": ["0.1", "0.5", "0.9"]}]
    training = {"recipe": "forecast", "target": "cnt", "time": "at", "options": {"horizon": 1}}
    table = Table(columns | {"at": time})
    held_out = time >= datetime(2012, 10, 1, tzinfo=UTC).timestamp()
    return [Prepared(spec_of("forecast", inputs, outputs, training), table.take(~held_out), table.take(held_out))]


def bike_sharing_without_history() -> list[Prepared]:
    """Any hour, by calendar and weather alone, as the published split's own baseline has it."""
    rows = _csv("bike_sharing/hour.csv")
    numbers = ["season", "yr", "mnth", "hr", "holiday", "weekday", "workingday", "weathersit"]
    numbers += ["temp", "atemp", "hum", "windspeed"]
    table = Table({name: np.array([float(row[name]) for row in rows]) for name in (*numbers, "cnt")})
    inputs = [{"name": "known", "datatype": "FP32", "shape": [-1, len(numbers)], "columns": numbers}]
    outputs = [{"name": "value", "datatype": "FP32", "shape": [-1]}]
    spec = spec_of("regression", inputs, outputs, {"recipe": "tabular", "target": "cnt"})
    held_out = np.array([row["dteday"] >= "2012-10-01" for row in rows])
    return [Prepared(spec, table.take(~held_out), table.take(held_out))]


def spec_of(task: str, inputs: list[Any], outputs: list[Any], training: dict[str, Any]) -> ModelSpec:
    known = {"name": "measured", "task": task, "description": "A public data set."}
    return validate(known | {"inputs": inputs, "outputs": outputs, "training": training})


def _banking(path: str) -> Table:
    rows = _csv(path)
    return Table({name: texts(row[name] for row in rows) for name in ("text", "category")})


def _csv(path: str, encoding: str = "utf-8") -> list[dict[str, str]]:
    with (FOLDER / path).open(encoding=encoding, newline="") as file:
        return list(csv.DictReader(file))


def texts(values: Any) -> Array:
    found = list(values)
    column = np.empty(len(found), object)
    column[:] = found
    return column
