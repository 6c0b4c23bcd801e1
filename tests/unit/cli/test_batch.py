"""`lastmile batch` over files of this machine, as a user meets it."""

import json
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from cli.batch import Seen, told
from lastmile.batches import Batch, Batches
from lastmile.registry import Registry
from lastmile.store import Store
from tests.unit.batch.conftest import SUM, graph, push, sum_model
from tests.unit.cli.conftest import Lastmile

PRICES = """
name = "prices"
task = "regression"
description = "What an item costs"
[[inputs]]
name = "item"
datatype = "INT64"
shape = [-1]
[[outputs]]
name = "price"
datatype = "FP32"
shape = [-1]
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "registry"
    folder.mkdir()
    push(Registry(Store.open(folder.as_uri(), environ={})), tmp_path, SUM.format(nullable=""), sum_model())
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    path.write_text("length,width,note\n1,2,a\noops,2,b\n3,4,c\n")
    return path


def test_a_file_becomes_a_file_of_predictions(lastmile: Lastmile, place: Path, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    done = lastmile("batch", "sum", data, "--output", output, "--registry", place, "--keep", "note", "--json")
    assert done.code == 0, done.err
    assert (done.json["rows"], done.json["bad_rows"], done.json["version"]) == (3, 1, 1)
    assert done.json["errors"] == f"{output}.errors.jsonl"
    lines = output.read_text().splitlines()
    assert lines[0].startswith('"row","prediction_id","note","label"')
    assert [line.split(",")[2] for line in lines[1:]] == ['"a"', '"b"', '"c"']
    assert json.loads(Path(done.json["errors"]).read_text())["line"] == 3


def test_a_person_reads_rows_and_their_speed(lastmile: Lastmile, place: Path, data: Path, tmp_path: Path) -> None:
    done = lastmile("batch", "sum", data, "--output", tmp_path / "out.parquet", "--registry", place)
    assert done.code == 0, done.err
    assert "rows/s" in done.out
    assert "bad rows" in done.out


def test_what_is_refused_is_said_in_a_sentence(lastmile: Lastmile, place: Path, data: Path, tmp_path: Path) -> None:
    data.write_text("length\n1\n")
    done = lastmile("batch", "sum", data, "--output", tmp_path / "out.csv", "--registry", place)
    assert (done.code, done.err) == (
        1,
        "in.csv has no column width; its columns must be named as the model's.\n→ Mend that, then start it again.\n",
    )
    nobody = lastmile("batch", "nobody", data, "--output", tmp_path / "o.csv", "--registry", place)
    assert (nobody.code, nobody.err.splitlines()[1]) == (1, "→ See `lastmile models`.")
    nowhere = lastmile("batch", "sum", data, "--output", data / "o.csv", "--registry", place)
    assert nowhere.err.endswith(
        "in.csv/o.csv.parts: Not a directory.\n→ Start the same command again, and it goes on from here.\n"
    )


def test_files_are_those_of_the_folder_one_is_in(
    lastmile: Lastmile, place: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = lastmile("batch", "sum", data.name, "--output", "out.csv", "--registry", "registry", "--json")
    assert (done.code, done.json["output"]) == (0, "out.csv"), done.err
    assert (tmp_path / "out.csv").is_file()


def test_a_model_that_refuses_many_rows_says_so_of_each(lastmile: Lastmile, tmp_path: Path) -> None:
    """ONNX Runtime writes a line of a kilobyte for every call that fails: more than a pipe holds."""
    nodes = [helper.make_node("Gather", ["table", "item"], ["price"])]
    table = helper.make_tensor("table", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    inputs = [helper.make_tensor_value_info("item", TensorProto.INT64, ["n"])]
    outputs = [helper.make_tensor_value_info("price", TensorProto.FLOAT, ["n"])]
    (tmp_path / "prices").mkdir()
    registry = Registry(Store.open((tmp_path / "prices").as_uri(), environ={}))
    push(registry, tmp_path, PRICES, graph(nodes, inputs, outputs, [table]))
    wrong = range(0, 1200, 4)
    data = tmp_path / "items.csv"
    data.write_text("item\n" + "".join(f"{99 if row in wrong else 1}\n" for row in range(1200)))
    output = tmp_path / "out.csv"
    done = lastmile("batch", "prices", data, "--output", output, "--registry", tmp_path / "prices", "--json")
    assert (done.code, done.json["rows"], done.json["bad_rows"]) == (0, 1200, len(wrong)), done.err
    told = [json.loads(line)["row"] for line in Path(done.json["errors"]).read_text().splitlines()]
    assert told == [row + 1 for row in wrong]


@pytest.mark.parametrize(
    "words",
    [
        ["in.csv"],
        ["in.csv", "--output", "out.csv", "--format", "csv"],
        ["in.csv", "--output", "out.csv", "--tolerate", "0.5"],
        ["in.csv", "--output", "out.csv", "--detach"],
        ["in.csv", "--output", "out.csv", "--part-rows", "5"],
        ["in.csv", "--output", "out.csv", "--endpoint"],
        ["s3://bucket/in.csv", "--registry", "somewhere"],
        ["s3://bucket/in.csv", "--workers", "2"],
    ],
)
def test_options_that_would_do_nothing_are_refused(lastmile: Lastmile, words: list[str]) -> None:
    assert lastmile("batch", "sum", *words).code == 2


def test_progress_tells_rows_bad_ones_and_the_speed_of_the_new_ones() -> None:
    assert told(Seen(3000, 0, 0.5, 1000), 2.0) == "3,000 rows, 500 rows/s"
    assert told(Seen(3000, 7, 0.5, 3000), 2.0) == "3,000 rows, 7 bad, 1,500 rows/s"


def test_a_folder_of_uploads_is_no_batch(tmp_path: Path) -> None:
    store = Store.open(tmp_path.as_uri(), environ={})
    store.put("batches/sum/inputs/in.csv", b"")
    assert list(Batches(store).all()) == []
    facts = {"model": "sum", "version": 1, "input": "s3://b/i", "etag": "e", "size": 1, "output": "s3://b/o",
             "format": "csv", "keep": ["a"], "decides": False, "batch_rows": None, "part_rows": None, "prefix": "p",
             "created_at": 1.0, "actor": "me", "id": "1"}  # fmt: skip
    batch = Batch.from_document(facts)
    assert Batches(store).create(batch).to_document()["keep"] == ("a",)
    assert [one.id for one in Batches(store).all("sum")] == ["1"]
