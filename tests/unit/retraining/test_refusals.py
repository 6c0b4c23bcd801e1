"""What must not become a version: refused in a sentence that helps, with the champion and all else as it was."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from functions.retraining.door import ACTS, Door
from functions.retraining.recipes.split import drawn
from functions.retraining.table import Table
from lastmile.policies import Gate
from lastmile.store import Store
from tests.unit.retraining.pipelines import Place
from tests.unit.retraining.recipes.examples import rows
from tests.unit.retraining.test_steps import wanted

LARGEST = 20_000_000
type World = tuple[Place, Door, Path]


def written(table: Table) -> bytes:
    lines = (",".join(map(str, row)).replace("nan", "") for row in zip(*table.columns.values(), strict=True))
    return "\n".join((",".join(table.columns), *lines)).encode()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A model with a champion; everything lies in a folder."""
    folder = tmp_path_factory.mktemp("stores")
    (folder / "data").mkdir()
    (folder / "artifacts").mkdir()
    data, artifacts = (Store.open((folder / name).as_uri(), environ={}) for name in ("data", "artifacts"))
    place = Place(wanted(Gate("auc", champion_margin=-0.02)), data=data, artifacts=artifacts)
    door = place.door()
    door.acts, door.desk.largest_bytes = dict(ACTS), LARGEST
    place.data.put("training/example/may.csv", written(rows(400)))
    assert place.run("training/example/may.csv", door=door).state == "promoted"
    return place, door, folder


def worse() -> bytes:
    """What it learns from says nothing; what it is measured on does."""
    table = rows(400, seed=1)
    learnt = np.flatnonzero(~drawn(table.rows, 0.2, 0, table["y"]))
    mixed = learnt.copy()
    np.random.default_rng(0).shuffle(mixed)
    columns = dict(table.columns)
    for name in ("a", "b", "kind"):
        columns[name] = table[name].copy()
        columns[name][learnt] = table[name][mixed]
    return written(Table(columns))


def leaking() -> bytes:
    table = rows(400)
    return written(Table({**table.columns, "b": table["y"] * 2.0 + np.random.default_rng(0).random(400)}))


def wrong_header() -> bytes:
    return written(rows(400)).replace(b"a,b,kind,y", b"a,b,knd,y", 1)


def bad_rows() -> bytes:
    head, *lines = written(rows(400)).splitlines()
    return b"\n".join((head, *(line if place % 5 < 3 else b"lots" + line for place, line in enumerate(lines))))


CASES: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "a worse model": (worse, "evaluate", "worse, at most 0.02 worse is allowed"),
    "a leaking column": (leaking, "validate", "b"),
    "a wrong header": (wrong_header, "validate", "kind"),
    "40 % bad rows": (bad_rows, "validate", "160 of 400 rows (40.0%) cannot be used, at most 5.0% may be so"),
    "an empty file": (lambda: b"", "validate", "empty"),
    "a PNG": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "validate", "PNG"),
}


def registered(folder: Path) -> dict[str, bytes]:
    """Every object of the registry: versions, the release, the audit."""
    return {str(file): file.read_bytes() for file in (folder / "artifacts").rglob("*") if file.is_file()}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_with_reasons_and_nothing_else_changes(world: World, case: str) -> None:
    place, door, folder = world
    make, step, said = CASES[case]
    before = registered(folder)
    key = "training/example/june.csv"
    place.data.put(key, make())
    run = place.run(key, execution=case, door=door)
    check_refused(place, run.id, step, said)
    assert registered(folder) == before


def check_refused(place: Place, run: str, step: str, said: str) -> None:
    found = place.door().desk.runs.read("example", run)[0]
    assert found.problem is not None
    assert (found.state, found.problem["step"]) == ("refused", step)
    assert said in found.problem["reason"]
    assert len(found.problem["advice"]) > 20
    page = place.data.get(f"reports/example/run/{run}.html").data.decode()
    assert "<b>Refused</b>" in page
    assert place.bus.events[-1][0] == "RunFailed"


def test_what_is_too_large_for_the_function_is_refused_before_it_is_read(world: World) -> None:
    place, door, folder = world
    before = registered(folder)
    file = folder / "data/training/example/huge.csv"
    file.touch()
    os.truncate(file, 5 * LARGEST)  # nothing but zeros, and no table: nobody reads so far
    run = place.run("training/example/huge.csv", execution="huge", door=door)
    check_refused(place, run.id, "validate", "the data has more than 20 million bytes, the most that can be trained on")
    assert registered(folder) == before
