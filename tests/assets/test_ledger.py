"""A cold start imports what the ledger in git lists, and a call as it is measured: what slows either down is caught."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks import events, warm
from benchmarks.compare import moves
from benchmarks.imports import imports, unlisted
from benchmarks.isolated import WORKERS, Isolated, built
from benchmarks.model import Trained, trained
from benchmarks.result import RESULTS
from layers.uv import ROOT

PER_CALL = "1 row, JSON: capture on / by hand"


@pytest.fixture(scope="module")
def model(assets: Path) -> Trained:
    return trained()


@pytest.fixture
def event(model: Trained, tmp_path: Path) -> str:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(events.as_json(model.rows[:1])))
    return str(path)


def ledger() -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((RESULTS / "cold.json").read_text())["figures"]
    return figures


def changed(folder: Path, before: str, after: str) -> Path:
    """A copy of the function, without bytecode, whose door reads otherwise."""
    shutil.copytree(ROOT / "functions", folder / "functions", ignore=shutil.ignore_patterns("__pycache__"))
    door = folder / "functions/inference/door.py"
    source = door.read_text()
    assert source.count(before) == 1
    door.write_text(source.replace(before, after))
    return folder


def test_a_cold_start_imports_only_what_the_ledger_lists(model: Trained, event: str) -> None:
    imported = imports(Isolated(built(), model.uri), event)
    assert {"functions.inference.door", "lastmile.predictor", "numpy", "onnxruntime"} <= imported.keys()
    assert unlisted(imported, ledger()) == [], "measure it, and keep the new ledger: make bench SECTION=cold"


def test_a_store_in_s3_imports_nothing_more(model: Trained) -> None:
    imported = imports(Isolated(built(), "s3://bucket"), worker="opened")
    assert "functions.inference.door" in imported
    assert unlisted(imported, ledger()) == []


def test_a_slow_import_is_caught(model: Trained, event: str, tmp_path: Path) -> None:
    overlay = changed(tmp_path, "import sys\n", "import sys\nimport slow\n")
    (overlay / "slow.py").write_text("import time\ntime.sleep(0.05)\n")
    imported = imports(Isolated((overlay, *built()), model.uri), event)
    assert unlisted(imported, ledger()) == ["slow"]
    assert imported["slow"] >= 50


def test_two_milliseconds_per_call_are_caught(model: Trained, tmp_path: Path) -> None:
    def results(*paths: Path) -> dict[str, Any]:
        worker = {"warm_lastmile": Isolated((*paths, *built(), WORKERS), model.uri)}
        measured = warm.result(warm.measure(worker, model, processes=1, rounds=5), {})
        return {"warm": {"ratios": {name: asdict(ratio) for name, ratio in measured.ratios.items()}}}

    overlay = changed(
        tmp_path,
        "            request = request_of(event)\n",
        "            import time; time.sleep(0.002)\n            request = request_of(event)\n",
    )
    before, slowed = results(), results(overlay)
    assert PER_CALL in {move.ratio for move in moves(before, slowed) if move.is_worse}
