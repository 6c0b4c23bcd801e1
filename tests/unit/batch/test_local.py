"""Batches on this machine: every row once and in order, whatever is wrong with some, and wherever it is cut short."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from functions.batch import files
from functions.batch.local import Job, State, Work, run
from functions.batch.progress import Parts
from lastmile.errors import InvalidInput, VersionNotFound
from lastmile.registry import Registry
from lastmile.store import Store
from lastmile.ulid import ulid_milliseconds
from tests.unit.batch.conftest import SUM, Written, as_csv, measurements, push, shares, sided, sum_model


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small file has several."""
    monkeypatch.setattr(files, "PARQUET_ROWS", 100)
    monkeypatch.setattr(files.Csv.slices, "__kwdefaults__", {"bytes_": 2000, "most_rows": 100})


def ended(job: Job, registry: Registry, place: Path = Path("r")) -> State:
    return run(job, registry, uri=str(place), tell=lambda state: None)


def as_parquet(path: Path, x: np.ndarray, rows: int = 150) -> Path:
    pq.write_table(pa.table({"width": x[:, 1], "note": [f"n{n}" for n in range(len(x))], "length": x[:, 0]}), path,
                   row_group_size=rows)  # fmt: skip
    return path


def result(path: Path) -> pa.Table:
    return pc.read_csv(path) if path.suffix == ".csv" else pq.read_table(path)


def check(found: pa.Table, x: np.ndarray) -> None:
    assert found.column("row").to_pylist() == list(range(1, len(x) + 1))
    known = set(found.column("prediction_id").to_pylist())
    assert len(known) == len(x)
    wanted = shares(x)
    np.testing.assert_allclose(found.column("probabilities.long").to_numpy(), wanted[:, 1], rtol=1e-5)
    assert found.column("label").to_pylist() == wanted.argmax(axis=1).tolist()


@pytest.mark.parametrize("output", ["out.csv", "out.parquet"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_every_row_is_predicted_once_and_in_order(
    registry: Registry, tmp_path: Path, written: Written, kind: str, output: str
) -> None:
    x = measurements(777)
    data = written("in.csv", as_csv(x)) if kind == "csv" else as_parquet(tmp_path / "in.parquet", x)
    state = ended(Job("sum", data, tmp_path / output), registry)
    assert (state.rows, state.bad, state.share, state.found, state.version) == (777, 0, 1.0, 0, 1)
    found = result(tmp_path / output)
    assert found.column_names == ["row", "prediction_id", "label", "probabilities.short", "probabilities.long", "error"]
    check(found, x)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([data.name, output])


def test_prediction_ids_are_ulids_of_the_time_of_the_job(registry: Registry, tmp_path: Path, written: Written) -> None:
    ended(Job("sum", written("in.csv", as_csv(measurements(300))), tmp_path / "out.parquet"), registry)
    found = pq.read_table(tmp_path / "out.parquet").column("prediction_id").to_pylist()
    assert found == sorted(found)
    assert len({ulid_milliseconds(one) for one in found}) == 1
    assert {one[:18] for one in found} == {found[0][:18]}


def test_bad_rows_stay_in_their_place_and_are_listed(registry: Registry, tmp_path: Path, written: Written) -> None:
    x = measurements(250)
    lines = as_csv(x).splitlines()
    lines[1] = "oops,1"
    lines[120] = "1,2,3"
    lines[121] = ""  # no row
    lines[122] = ",1"
    lines[250] = "1"
    data = written("in.csv", "\n".join(lines))
    state = ended(Job("sum", data, tmp_path / "out.parquet"), registry)
    assert (state.rows, state.bad) == (249, 4)
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.column("row").to_pylist() == list(range(1, 250))
    errors = [json.loads(line) for line in (tmp_path / "out.parquet.errors.jsonl").read_text().splitlines()]
    assert errors == [
        {"row": 1, "line": 2, "reason": "'length' is 'oops', a number is wanted"},
        {"row": 120, "line": 121, "reason": "has 3 cells, the header has 2"},
        {"row": 121, "line": 123, "reason": "'length' is missing"},
        {"row": 249, "line": 251, "reason": "has 1 cells, the header has 2"},
    ]
    bad = [row for row in found.to_pylist() if row["error"]]
    assert [(row["row"], row["error"], row["label"]) for row in bad] == [(e["row"], e["reason"], None) for e in errors]
    good = np.delete(x, [0, 119, 120, 121, 249], axis=0)
    np.testing.assert_allclose([row["probabilities.long"] for row in found.to_pylist() if not row["error"]],
                               shares(good)[:, 1], rtol=1e-5)  # fmt: skip


def test_lines_are_counted_with_the_newlines_inside_of_quotes(
    registry: Registry, tmp_path: Path, written: Written
) -> None:
    text = "text,count\n" + '"two\nlines",1\n' * 3 + "x,many\n" + '"say ""hi""\r\n",5\r\n'
    data = written("in.csv", text)
    ended(Job("echo", data, tmp_path / "out.parquet"), registry)
    found = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["heard"] for row in found] == [*["two\nlines"] * 3, None, 'say "hi"\r\n']
    assert [row["twice"] for row in found] == [2, 2, 2, None, 10]
    (error,) = map(json.loads, (tmp_path / "out.parquet.errors.jsonl").read_text().splitlines())
    assert error == {"row": 4, "line": 8, "reason": "'count' is 'many', a whole number (INT64) is wanted"}


def test_missing_values_go_to_the_model_where_it_takes_them(
    registry: Registry, tmp_path: Path, written: Written
) -> None:
    data = written("in.csv", "length,width\n1,\n1,2\n")
    assert ended(Job("holes", data, tmp_path / "a.parquet"), registry).bad == 0
    assert ended(Job("sum", data, tmp_path / "b.parquet"), registry).bad == 1


def test_a_graph_of_fixed_batches_gets_them_whole(registry: Registry, tmp_path: Path, written: Written) -> None:
    x = measurements(11)
    ended(Job("fixed", written("in.csv", as_csv(x)), tmp_path / "out.parquet"), registry)
    check(pq.read_table(tmp_path / "out.parquet"), x)


@pytest.mark.parametrize(("kind", "kept"), [("csv", "n1"), ("parquet", "n1")])
def test_columns_that_are_kept_stand_beside_the_prediction(
    registry: Registry, tmp_path: Path, written: Written, kind: str, kept: str
) -> None:
    if kind == "csv":
        data = written("in.csv", "note,length,width\nn0,1,2\nn1,oops,2\nn2,1\nn3,1,2\n")
    else:
        data = as_parquet(tmp_path / "in.parquet", measurements(4))
    ended(Job("sum", data, tmp_path / "out.parquet", keep=("note",)), registry)
    found = pq.read_table(tmp_path / "out.parquet").column("note").to_pylist()
    assert found == (["n0", "n1", None, "n3"] if kind == "csv" else ["n0", "n1", "n2", "n3"])


def test_a_column_cannot_be_kept_under_the_name_of_another(
    registry: Registry, tmp_path: Path, written: Written
) -> None:
    data = written("in.csv", "length,width,label\n1,2,3\n")
    with pytest.raises(InvalidInput, match="two columns 'label'"):
        ended(Job("sum", data, tmp_path / "out.parquet", keep=("label",)), registry)


def test_decisions_are_the_policys(registry: Registry, tmp_path: Path, written: Written) -> None:
    data = written("in.csv", "length,width\n9,0.001\noops,1\n0,9\n")
    ended(Job("sum", data, tmp_path / "out.parquet", decides=True), registry)
    found = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["decision"] for row in found] == ["allow", None, "block"]
    assert [row["review"] for row in found] == [False, None, False]
    assert json.loads(found[2]["reasons"])


@pytest.mark.parametrize("model", ["both", "alone"])
def test_each_row_is_answered_by_its_own_side(sided_place: Path, tmp_path: Path, written: Written, model: str) -> None:
    x = np.abs(measurements(333))
    lines = as_csv(x).splitlines()
    lines[5] = "oops,1"
    registry = Registry(Store.open(sided_place.as_uri(), environ={}))
    job = Job(model, written("in.csv", "\n".join(lines)), tmp_path / "out.parquet", decides=True)
    assert ended(job, registry).bad == 1
    found = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert found.pop(4)["tier"] is None
    probabilities, by_heavy = (np.delete(one, 4, axis=0) for one in sided(x, model))
    assert [row["tier"] for row in found] == ["heavy" if one else "light" for one in by_heavy]
    np.testing.assert_allclose([row["probabilities.long"] for row in found], probabilities[:, 1], rtol=1e-5)
    assert [row["label"] for row in found] == probabilities.argmax(axis=1).tolist()
    assert {row["decision"] for row in found} <= {"allow", "block", "review"}


def test_decisions_need_a_policy(registry: Registry, tmp_path: Path, written: Written) -> None:
    with pytest.raises(InvalidInput, match="'echo' has no decision policy"):
        ended(Job("echo", written("in.csv", "text,count\n"), tmp_path / "out.csv", decides=True), registry)


REFUSED = {
    "header mismatch": ("in.csv", "length,height\n1,2\n", "in.csv has no column width"),
    "a column twice": ("in.csv", "length,width,width\n1,2,3\n", "has the column 'width' more than once"),
    "empty": ("in.csv", "", "in.csv is empty"),
    "blank": ("in.csv", "\n \n", "in.csv is empty"),
    "PNG": ("in.csv", "\x89PNG\r\n\x1a\n", "in.csv is a PNG image"),
    "zero bytes": ("in.csv", "l\0e\0n\0", "it holds zero bytes"),
    "Latin-1": ("in.csv", "length,width,g\xfc\n", "not UTF-8 at byte 14"),
    "never closed": ("in.csv", 'length,width\n1,"2\n', "line 2: the record"),
    "broken Parquet": ("in.parquet", "PAR1....PAR1", "cannot be read"),
}


@pytest.mark.parametrize(("name", "text", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_is_none_is_refused_in_a_sentence(
    registry: Registry, tmp_path: Path, name: str, text: str, sentence: str
) -> None:
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidInput, match=sentence):
        ended(Job("sum", tmp_path / name, tmp_path / "out.csv"), registry)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("text", ["length,width\n", "length,width"])
def test_a_file_without_rows_gives_one_without_rows(
    registry: Registry, tmp_path: Path, written: Written, text: str
) -> None:
    assert ended(Job("sum", written("in.csv", text), tmp_path / "out.parquet"), registry).rows == 0
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0


def test_a_byte_order_mark_semicolons_and_other_columns_do_no_harm(
    registry: Registry, tmp_path: Path, written: Written
) -> None:
    data = written("in.csv", "\ufeffwidth;note;length;note\n2;a,b;1;\n")
    ended(Job("sum", data, tmp_path / "out.parquet"), registry)
    check(pq.read_table(tmp_path / "out.parquet"), np.array([[1, 2]], np.float32))


def test_what_is_there_is_not_written_over(registry: Registry, tmp_path: Path, written: Written) -> None:
    data = written("in.csv", "length,width\n1,2\n")
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(InvalidInput, match=r"out.csv exists already"):
        ended(Job("sum", data, tmp_path / "out.csv"), registry)
    assert (tmp_path / "out.csv").read_text() == "mine"


def test_a_version_can_be_named(registry: Registry, tmp_path: Path, written: Written) -> None:
    data = written("in.csv", "length,width\n1,2\n")
    assert ended(Job("sum", data, tmp_path / "out.csv", version=1), registry).version == 1
    with pytest.raises(VersionNotFound):
        ended(Job("sum", data, tmp_path / "other.csv", version=9), registry)


class Cut(Exception):
    """As good as a kill: nothing of the engine runs after it."""


def cut_after(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine breaks off once so many parts are written, in the middle of the next."""
    written, lock = [0], threading.Lock()
    whole = Parts.write

    def write(self: Parts, number: int, store: Callable[[Path], object], errors: bytes) -> None:
        with lock:
            if written[0] == parts:
                part = self.part(number)
                new = part.with_name(f"{part.name}.new")
                store(new)
                new.write_bytes(new.read_bytes()[:10])
                raise Cut
            written[0] += 1
        whole(self, number, store, errors)

    monkeypatch.setattr(Parts, "write", write)


@pytest.mark.parametrize("output", ["out.csv", "out.parquet"])
def test_cut_short_at_every_part_it_goes_on_without_a_row_more_or_less(
    registry: Registry, tmp_path: Path, written: Written, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = measurements(520)
    lines = as_csv(x).splitlines()
    lines[7] = "oops,1"
    data = written("in.csv", "\n".join(lines))
    whole = tmp_path / f"whole-{output}"
    ended(Job("sum", data, whole), registry)
    wanted = result(whole).drop_columns(["prediction_id"])
    for parts in range(8):
        job = Job("sum", data, tmp_path / f"{parts}-{output}", workers=2)
        with monkeypatch.context() as patched, pytest.raises(Cut):
            cut_after(parts, patched)
            ended(job, registry)
        assert not job.output.exists()
        state = ended(job, registry)
        assert (state.rows, state.bad) == (520, 1)
        assert state.found >= 50 * parts
        found = result(job.output)
        assert found.drop_columns(["prediction_id"]).equals(wanted)
        ids = found.column("prediction_id").to_pylist()
        assert len(set(ids)) == 520
        assert ids == sorted(ids)
        assert job.errors.read_bytes() == (tmp_path / f"whole-{output}.errors.jsonl").read_bytes()


def test_cut_short_while_it_is_put_together_it_goes_on(
    registry: Registry, tmp_path: Path, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is there, and so are its parts: they give the same file."""
    x = measurements(300)
    job = Job("sum", written("in.csv", as_csv(x)), tmp_path / "out.parquet")

    def clear(self: Parts) -> None:
        raise Cut

    with monkeypatch.context() as patched, pytest.raises(Cut):
        patched.setattr(Parts, "clear", clear)
        ended(job, registry)
    before = job.output.read_bytes()
    assert ended(job, registry).found == 300
    assert job.output.read_bytes() == before
    with pytest.raises(InvalidInput, match="exists already"):
        ended(job, registry)


def half(part: Path) -> bytes:
    return part.read_bytes()[: part.stat().st_size // 2]


def none(part: Path) -> bytes:
    return b""


def anothers(part: Path) -> bytes:
    return part.with_name("000000.arrow").read_bytes()


@pytest.mark.parametrize("left", [half, none, anothers])
def test_a_part_that_is_not_what_it_should_be_is_made_again(
    registry: Registry, tmp_path: Path, written: Written, monkeypatch: pytest.MonkeyPatch, left: Callable[[Path], bytes]
) -> None:
    x = measurements(500)
    job = Job("sum", written("in.csv", as_csv(x)), tmp_path / "out.parquet", workers=1)
    with monkeypatch.context() as patched, pytest.raises(Cut):
        cut_after(3, patched)
        ended(job, registry)
    before, part, after = sorted((tmp_path / "out.parquet.parts").glob("*.arrow"))
    part.write_bytes(left(part))
    rows = [pa.ipc.open_file(one).read_all().num_rows for one in (before, after)]
    assert ended(job, registry).found == sum(rows)
    check(pq.read_table(job.output), x)


def test_the_version_it_began_with_stays(
    registry: Registry, tmp_path: Path, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job("moved", written("in.csv", as_csv(measurements(300))), tmp_path / "out.parquet", workers=1)
    text = SUM.format(nullable="").replace('"sum"', '"moved"')
    push(registry, tmp_path, text, sum_model())
    with monkeypatch.context() as patched, pytest.raises(Cut):
        cut_after(1, patched)
        ended(job, registry)
    push(registry, tmp_path, text, sum_model() + b"")
    assert registry.release("moved").champion == 2
    assert ended(job, registry).version == 1


@pytest.mark.parametrize("changed", ["input", "keep", "version"])
def test_parts_of_another_job_are_not_gone_on_with(
    registry: Registry, tmp_path: Path, written: Written, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    job = Job("sum", written("in.csv", as_csv(measurements(300))), tmp_path / "out.parquet", workers=1)
    with monkeypatch.context() as patched, pytest.raises(Cut):
        cut_after(1, patched)
        ended(job, registry)
    if changed == "input":
        written("in.csv", as_csv(measurements(300, seed=1)))
        other = job
    else:
        other = replace(job, keep=("width",)) if changed == "keep" else replace(job, version=1)
    with pytest.raises(InvalidInput, match="holds parts of another job"):
        ended(other, registry)


def test_what_a_csv_cannot_hold_is_refused_before_anything_is_done(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"length": [1.0], "width": [2.0], "tags": [["a", "b"]]}), path)
    job = Job("sum", path, tmp_path / "out.csv", keep=("tags",))
    with pytest.raises(InvalidInput, match=r"a CSV cannot hold the column 'tags' .*; keep it in a .parquet output"):
        ended(job, registry)
    assert not list(tmp_path.glob("out*"))
    assert ended(replace(job, output=tmp_path / "out.parquet"), registry).rows == 1


def test_a_file_that_turns_out_to_be_broken_leaves_nothing_in_the_way_of_the_mended_one(
    registry: Registry, tmp_path: Path, written: Written
) -> None:
    text = as_csv(measurements(300))
    job = Job("sum", written("in.csv", text + '1,"2'), tmp_path / "out.csv")
    with pytest.raises(InvalidInput, match="the record that begins here"):
        ended(job, registry)
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith("out")} == set()
    written("in.csv", text)
    assert ended(job, registry).rows == 300


def test_a_file_that_is_changed_meanwhile_is_not_taken_for_either(
    registry: Registry, tmp_path: Path, written: Written
) -> None:
    path = written("in.csv", as_csv(measurements(300)))

    def change(state: State) -> None:
        os.utime(path, ns=(1, state.rows))

    with pytest.raises(InvalidInput, match=r"in.csv was changed while it was read"):
        run(Job("sum", path, tmp_path / "out.csv"), registry, uri="r", tell=change)
    assert not (tmp_path / "out.csv").exists()


def test_two_processes_do_not_write_the_same_file(
    registry: Registry, tmp_path: Path, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job("sum", written("in.csv", as_csv(measurements(10))), tmp_path / "out.parquet")
    seen: list[str] = []
    part = Work.part

    def other_one(self: Work, *arguments: Any) -> Any:
        with pytest.raises(InvalidInput, match="another process is at work") as refused:
            ended(job, registry)
        seen.append(str(refused.value))
        return part(self, *arguments)

    monkeypatch.setattr(Work, "part", other_one)
    ended(job, registry)
    assert seen


@pytest.fixture
def started(place: Path, tmp_path: Path) -> Iterator[Any]:
    """The engine as the command line starts it."""
    running: list[subprocess.Popen[bytes]] = []

    def start(**asked: Any) -> subprocess.Popen[bytes]:
        argument = json.dumps({"registry": place.as_uri(), **asked})
        running.append(subprocess.Popen([sys.executable, "-m", "functions.batch.here", argument],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE))  # fmt: skip
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_killed_by_the_system_it_goes_on(started: Any, tmp_path: Path, written: Written) -> None:
    x = measurements(400_000)
    data, output = as_parquet(tmp_path / "in.parquet", x, 50_000), tmp_path / "out.parquet"
    asked = {"model": "sum", "input": str(data), "output": str(output), "workers": 1, "batch_rows": 4096}
    process = started(**asked)
    for line in process.stdout:
        if json.loads(line).get("state", {}).get("rows", 0) > 60_000:
            break
    process.kill()
    process.wait()
    killed = not output.exists()
    done, complaint = started(**asked).communicate()
    last = json.loads(done.splitlines()[-1])
    if killed:
        assert last["done"]["found"] >= 60_000, complaint
    else:  # it was quicker than the kill
        assert "exists already" in last["refused"]
    check(pq.read_table(output), x)
