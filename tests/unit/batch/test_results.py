"""Kept columns: as they stood in the input where the file of results can hold them, and said where it cannot."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from functions.batch.local import Job, run
from functions.batch.results import Format, Layout, encoded
from lastmile.errors import InvalidInput
from lastmile.registry import Registry

LATIN = "customer,length,width\nAnna,1,2\nM\xfcller,1,2\n,1,2\nZo\xeb,1\n"
NOT_UTF8 = pa.array([b"Anna", b"M\xfcller"])


def ended(job: Job, registry: Registry) -> list[dict[str, object]]:
    run(job, registry, uri="r", tell=lambda state: None)
    found = pc.read_csv(job.output) if job.output.suffix == ".csv" else pq.read_table(job.output)
    return list(found.to_pylist())


@pytest.mark.parametrize("output", ["out.csv", "out.parquet"])
def test_a_kept_cell_that_is_not_utf_8_is_a_bad_row_and_the_others_are_answered(
    registry: Registry, tmp_path: Path, output: str
) -> None:
    (tmp_path / "in.csv").write_bytes(LATIN.encode("latin-1"))
    job = Job("sum", tmp_path / "in.csv", tmp_path / output, keep=("customer",))
    found = ended(job, registry)
    assert [row["customer"] or "" for row in found] == ["Anna", "", "", ""]
    assert [row["error"] or "" for row in found] == [
        "",
        "'customer' is not UTF-8 text",
        "",
        "has 2 cells, the header has 3",
    ]
    assert [row["label"] for row in found] == [1, None, 1, None]
    errors = [json.loads(line) for line in job.errors.read_text().splitlines()]
    assert [(error["row"], error["line"]) for error in errors] == [(2, 3), (4, 5)]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_a_parquet_file_may_call_anything_a_text(registry: Registry, tmp_path: Path, kind: pa.DataType) -> None:
    customer = NOT_UTF8.view(pa.string()).cast(kind)
    pq.write_table(pa.table({"length": [1.0, 1.0], "width": [2.0, 2.0], "customer": customer}), tmp_path / "in.parquet")
    found = ended(Job("sum", tmp_path / "in.parquet", tmp_path / "out.csv", keep=("customer",)), registry)
    assert [row["error"] or "" for row in found] == ["", "'customer' is not UTF-8 text"]
    assert [row["label"] for row in found] == [1, None]


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.int64()),
        pa.list_(pa.int64(), 2),
        pa.struct([("a", pa.int64())]),
        pa.map_(pa.string(), pa.int64()),
        pa.binary(),
        pa.large_binary(),
        pa.binary(3),
        pa.binary_view(),
    ],
    ids=str,
)
def test_what_a_csv_cannot_hold_is_kept_in_parquet(kind: pa.DataType) -> None:
    layout = Layout((), {"extra": kind}, decides=False)
    layout.check("parquet")
    with pytest.raises(InvalidInput, match=r"a CSV cannot hold the column 'extra' .*; keep it in a \.parquet output"):
        layout.check("csv")


@pytest.mark.parametrize("format_", ["csv", "parquet"])
@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.decimal128(9, 2), pa.date32(), pa.timestamp("us", "UTC"), pa.time64("us"),
     pa.duration("us"), pa.bool_(), pa.float16(), pa.uint64(), pa.null()],
    ids=str,
)  # fmt: skip
def test_everything_else_can_be_kept_in_both(kind: pa.DataType, format_: Format) -> None:
    layout = Layout((), {"extra": kind}, decides=False)
    layout.check(format_)
    assert encoded(layout.schema.empty_table(), format_)


def test_text_in_views_is_kept_as_text(registry: Registry, tmp_path: Path) -> None:
    customer = pa.array(["Anna", "Müller"], pa.string_view())
    pq.write_table(pa.table({"length": [1.0, 1.0], "width": [2.0, 2.0], "customer": customer}), tmp_path / "in.parquet")
    found = ended(Job("sum", tmp_path / "in.parquet", tmp_path / "out.csv", keep=("customer",)), registry)
    assert [row["customer"] for row in found] == ["Anna", "Müller"]
