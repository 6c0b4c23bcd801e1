"""What every data maker promises: the same seed gives the same bytes, and another seed other rows of the same kind."""

import csv
import importlib
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models.maker import command, csv_of

NAMES = ("demand", "fraud", "maintenance", "recommendations", "tickets")
ROWS = 480


def maker(name: str) -> Any:
    return importlib.import_module(f"models.{name}.data")


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_decides_every_byte(name: str) -> None:
    made = csv_of(maker(name).make(ROWS, 3))
    assert made == csv_of(maker(name).make(ROWS, 3))
    assert made != csv_of(maker(name).make(ROWS, 4))


@pytest.mark.parametrize("name", NAMES)
def test_there_are_as_many_rows_as_wanted(name: str) -> None:
    rows = list(csv.reader(io.StringIO(csv_of(maker(name).make(ROWS, 0)))))
    assert len(rows) == ROWS + 1
    assert {len(row) for row in rows} == {len(rows[0])}


@pytest.mark.parametrize("name", NAMES)
def test_the_default_is_some_thousands_of_rows(name: str) -> None:
    assert 5_000 <= maker(name).ROWS <= 30_000


@pytest.mark.parametrize("name", ["fraud", "maintenance", "tickets"])
def test_what_is_asked_was_never_trained_on(name: str) -> None:
    data = maker(name)
    trained = data.make(2_000, 0)
    known = {tuple(row) for row in zip(*(trained[feature] for feature in data.FEATURES), strict=True)}
    asked = data.requests(0, 50)
    assert len(asked) == 50
    assert asked == data.requests(0, 50)
    assert asked != data.requests(1, 50)
    assert all(list(row) == list(data.FEATURES) for row in asked)
    assert len(known & {tuple(row.values()) for row in asked}) <= 1  # two people may write the same short message


def test_the_command_writes_a_file(tmp_path: Path) -> None:
    out = tmp_path / "made" / "tickets.csv"
    command = [sys.executable, "-m", "models.tickets.data", "--out", str(out), "--rows", "7", "--seed", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{out}: 7 rows\n"
    assert out.read_text(encoding="utf-8") == csv_of(maker("tickets").make(7, 2))


@pytest.mark.parametrize(
    ("option", "said"),
    [(["--rows", "0"], "must be 1 or more"), (["--seed", "-1"], "0 or more"), (["--out", "/"], "cannot be written")],
)
def test_what_cannot_be_made_is_said_in_a_sentence(
    option: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["data", "--out", "/dev/null", "--rows", "3", *option])
    with pytest.raises(SystemExit):
        command(maker("tickets").make, rows=7, what="messages")
    assert said in capsys.readouterr().err


def test_frauds_are_few_and_new_customers_have_no_history() -> None:
    made = maker("fraud").make(8_000, 0)
    assert 0.01 <= sum(made["is_fraud"]) / 8_000 <= 0.025
    assert made["time"] == sorted(made["time"])
    assert made["amount_ratio"].count(None) == made["days_since_last"].count(None) > 0
    assert min(made["amount"]) > 0


def test_machines_seldom_fail() -> None:
    made = maker("maintenance").make(8_000, 0)
    assert 0.03 <= sum(made["failure"]) / 8_000 <= 0.07
    assert made["time"] == sorted(made["time"])


def test_every_team_has_several_hundred_wordings_and_every_message_is_filled_in() -> None:
    data = maker("tickets")
    rng = data.generator(0)
    for wordings in data.texts()["teams"].values():
        assert len({data.filled(rng, data.one(rng, wordings)) for _ in range(3_000)}) >= 300
    made = data.make(3_000, 0)
    assert set(made["team"]) == set(data.SHARES)
    assert not any(mark in text for text in made["text"] for mark in "(){}|")
    assert min(map(len, made["text"])) > 5


def test_customers_buy_what_is_in_the_catalogue_once() -> None:
    data = maker("recommendations")
    products = data.catalogue()
    made = data.make(3_000, 0)
    assert set(made["item"]) <= {product.item for product in products}
    assert len({product.name for product in products}) == len(products) == 120
    bought = list(zip(made["user"], made["item"], strict=True))
    assert len(set(bought)) == len(bought)
    assert made["time"] == sorted(made["time"])
    assert all(data.histories(0, 5))


def test_every_item_is_sold_on_every_day() -> None:
    data = maker("demand")
    made = data.make(ROWS, 0)
    assert len(set(zip(made["date"], made["item"], strict=True))) == ROWS
    assert set(made["item"]) == set(data.ITEMS)
    closed = data.make(data.ROWS, 0)
    units: dict[int, list[int]] = {0: [], 1: []}
    for holiday, sold in zip(closed["holiday"], closed["units"], strict=True):
        units[holiday].append(sold)
    assert sum(units[1]) / len(units[1]) < 0.2 * sum(units[0]) / len(units[0])
