"""Training through the command line: on a machine of one's own, and what is refused before anything begins."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cli.push import source_of
from cli.target import CHECKOUT
from cli.training import key_of
from lastmile.registry import Registry
from lastmile.runs import Runs
from lastmile.store import Store
from tests import valves


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "spec.toml").write_text(valves.spec())
    valves.table(tmp_path / "may.csv", seed=0)
    (tmp_path / "notes.txt").write_text("no table")
    return tmp_path


def test_a_model_is_trained_in_this_machine(lastmile: Any, place: Path) -> None:
    given = ("--here", "--registry", place / "registry", "--spec", place / "spec.toml")
    outcome = lastmile("train", "valves", place / "may.csv", *given)
    assert outcome.code == 0, outcome.err
    assert "promoted" in outcome.out
    registry = Registry(Store.open((place / "registry").as_uri(), environ={}))
    assert registry.release("valves").champion == 1
    code = registry.manifest("valves", 1).lineage.get("code", {})
    assert code.get("commit") == source_of(CHECKOUT / "functions").get("code", {}).get("commit")
    runs = lastmile("runs", "--registry", place / "registry", "--json").json
    assert [(run["model"], run["state"], run["version"]) for run in runs] == [("valves", "promoted", 1)]
    shown = lastmile("run", "show", runs[0]["id"], "--registry", place / "registry")
    assert "Metrics on held-out rows" in shown.out
    assert "training/valves/may.csv" in shown.out


def test_a_recipe_of_ones_own_is_trained_as_the_shipped_ones_are(
    lastmile: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one of docs/recipes.md."""
    (recipe,) = re.findall(r"```python\n(.*?)```", (CHECKOUT / "docs/recipes.md").read_text(), re.DOTALL)
    (place / "functions").symlink_to(CHECKOUT / "functions")
    (place / "models/valves").mkdir(parents=True)
    (place / "models/valves/recipe.py").write_text(recipe)
    (place / "models/valves/spec.toml").write_text(valves.spec(recipe="own"))
    monkeypatch.setattr("cli.train.CHECKOUT", place)
    outcome = lastmile("train", "valves", place / "may.csv", "--here", "--registry", place / "registry")
    assert outcome.code == 0, outcome.err
    registry = Registry(Store.open((place / "registry").as_uri(), environ={}))
    assert registry.release("valves").champion == 1
    certificate = json.loads(registry.file(registry.manifest("valves", 1), "certificate.json"))
    assert certificate["probes"] == 300
    (place / "models/valves/recipe.py").unlink()
    outcome = lastmile("train", "valves", place / "may.csv", "--here", "--registry", place / "registry")
    assert outcome.code == 1
    assert "'own' needs the file models/valves/recipe.py" in outcome.err


def test_a_process_that_is_killed_leaves_a_run_that_says_so(
    lastmile: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a machine does that runs out of memory."""
    (recipe,) = re.findall(r"```python\n(.*?)```", (CHECKOUT / "docs/recipes.md").read_text(), re.DOTALL)
    killing = re.sub(
        r"(?m)^def fit\(.*$", r"\g<0>\n    import os, signal; os.kill(os.getpid(), signal.SIGKILL)", recipe
    )
    assert killing != recipe
    (place / "functions").symlink_to(CHECKOUT / "functions")
    (place / "models/valves").mkdir(parents=True)
    (place / "models/valves/recipe.py").write_text(killing)
    (place / "models/valves/spec.toml").write_text(valves.spec(recipe="own"))
    monkeypatch.setattr("cli.train.CHECKOUT", place)
    outcome = lastmile("train", "valves", place / "may.csv", "--here", "--registry", place / "registry")
    assert outcome.code == 1
    assert "The training process broke off at step train: it said nothing and ended with -9." in outcome.err
    (run,) = lastmile("runs", "--registry", place / "registry", "--json").json
    assert (run["state"], run["problem"]["step"]) == ("failed", "train")
    assert f"lastmile run show {run['id']}" in outcome.err


def test_a_run_that_waits_for_a_person_says_so_and_ends_with_the_command(place: Path) -> None:
    (place / "spec.toml").write_text(valves.spec() + '\n[approval]\npolicy = "manual"\n')
    given = ["--here", "--registry", str(place / "registry"), "--spec", str(place / "spec.toml")]
    command = [str(Path(sys.executable).with_name("lastmile")), "train", "valves", str(place / "may.csv"), *given]
    runs = Runs(Store.open((place / "registry").as_uri(), environ={}))
    with subprocess.Popen(command, cwd=CHECKOUT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "lastmile approve" in line)
        assert f'? lastmile approve valves 1 --why "…" --registry {place / "registry"}' in line
        process.send_signal(signal.SIGTERM)  # which is handled as Ctrl-C is
        said = process.stderr.read()
    (run,) = runs.ids("valves")
    assert "The run has ended with the command, at step " in said
    assert f"What it had found: `lastmile run show {run} --registry" in said
    deadline = time.monotonic() + 60
    while runs.seen("valves", run).state != "failed":  # its process is gone
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_without_a_registry_nothing_is_trained_here(lastmile: Any, place: Path) -> None:
    outcome = lastmile("train", "valves", place / "may.csv", "--here")
    assert outcome.code == 2
    assert "--here needs --registry" in outcome.err


@pytest.mark.parametrize(
    ("model", "spec", "said"),
    [
        ("taps", None, "Nobody has declared a model 'taps'."),
        ("taps", "spec.toml", "is the spec of 'valves', not of 'taps'."),
    ],
)
def test_a_model_must_be_declared(lastmile: Any, place: Path, model: str, spec: str | None, said: str) -> None:
    more = ("--spec", place / spec) if spec else ()
    outcome = lastmile("train", model, place / "may.csv", "--here", "--registry", place / "registry", *more)
    assert outcome.code == 1
    assert said in outcome.err


def test_a_file_that_is_not_there_declares_nothing(lastmile: Any, place: Path) -> None:
    given = ("--here", "--registry", place / "registry", "--spec", place / "spec.toml")
    assert lastmile("train", "valves", place / "june.csv", *given).code == 1
    assert not (place / "registry").exists()


def test_only_tables_are_uploaded(place: Path) -> None:
    from cli.errors import CommandFailed

    assert key_of("valves", place / "may.csv") == "training/valves/may.csv"
    (place / ".may.csv").touch()
    for name, said in (("notes.txt", "no table"), ("june.csv", "There is no file"), (".may.csv", "cannot be called")):
        with pytest.raises(CommandFailed, match=said):
            key_of("valves", place / name)


def test_a_run_that_is_not_there_is_said_so(lastmile: Any, place: Path) -> None:
    (place / "registry").mkdir()
    outcome = lastmile("run", "show", "20260101T000000Z-0123456789ab", "--registry", place / "registry")
    assert (outcome.code, "There is no run" in outcome.err) == (1, True)
    assert "There are no runs." in lastmile("runs", "--registry", place / "registry").err
