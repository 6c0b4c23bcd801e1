import gzip
import html
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from functions.retraining.data import Column, badrows, source, validate
from functions.retraining.data.badrows import KEPT, BadRows
from lastmile.errors import DataRefused
from tests.unit.retraining.data.files import ROWS, csv, spec, validation

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


def with_bad(count: int) -> bytes:
    return csv([("abc", country, label) if row < count else (amount, country, label)
                for row, (amount, country, label) in enumerate(ROWS)])  # fmt: skip


def test_a_table_may_have_very_many_columns_that_nobody_asked_for() -> None:
    spare = [f"spare{number}" for number in range(30_000)]
    header, zeros = ",".join(["amount", "country", "label", *spare]), ",0" * len(spare)
    began = time.process_time()
    found = validation(csv([(amount, country, label + zeros) for amount, country, label in ROWS[:12]], header=header))
    assert len(found.report.ignored) == 30_000
    assert time.process_time() - began < 3  # it was ten when every name was looked for among all


def test_for_the_first_of_many_missing_columns_other_names_are_guessed() -> None:
    wanted = [Column(f"feature_{number}", "number") for number in range(5000)]
    header = ",".join(["feature_0", *(f"Feature {number} value" for number in range(1, 5000))])
    refusals = validation(csv([["1"] * 5000] * 12, header=header), columns=wanted).report.refusals
    assert len(refusals) == 4999
    assert refusals[0].advice == "Rename 'Feature 1 value' if that is meant."
    assert refusals[-1].advice == "Add the column."  # half a minute went by when one was looked for among all


def test_a_text_may_be_longer_than_the_131_072_characters_that_python_allows_in_a_field() -> None:
    long = [("1", '"' + "x" * 200_000 + '"', "0"), *ROWS]
    found = validation(csv(long), spec(features={}))
    assert (found.refusal, found.report.rows) == (None, 101)


@pytest.mark.parametrize("amounts", [("0.3", str(0.1 + 0.2)), ("1e17", str(10**17 + 16)), ("-1.7e308", "1.7e308")])
def test_values_may_lie_as_near_or_far_as_they_like(amounts: tuple[str, str]) -> None:
    tensors = [
        {"name": "amount", "datatype": "FP64", "shape": [-1]},
        {"name": "country", "datatype": "BYTES", "shape": [-1]},
    ]
    model = spec(inputs=tensors, features={})
    found = validation(
        csv([(amounts[row // 2 % 2], country, label) for row, (_, country, label) in enumerate(ROWS)]), model
    )
    assert found.refusal is None
    (amount, *_) = found.report.summaries
    assert (amount.bins[0], amount.bins[-1]) == (50, 50)
    assert all(map(np.isfinite, (value for value in amount.figures.values() if isinstance(value, float))))


REFUSALS = [
    (b"", "the file is empty", "Upload a file with a header"),
    (b" \n\n", "the file is empty", "Upload a file"),
    (csv([]), "a header and no rows", "Upload rows"),
    (csv(ROWS[:5]), "only 5 rows can be used, and at least 10", "Upload more rows"),
    (PNG, "the file is a PNG image, whatever its name says", "Save the table as CSV, JSON lines or Parquet"),
    (b"PK\x03\x04" + bytes(100), "a ZIP archive or an Excel workbook", "Save the table as CSV"),
    (bytes(range(256)) * 10, "binary data of an unknown kind", "Save the table"),
    (b"<html><body>404</body></html>", "an HTML or XML page", "one JSON object per line"),
    (b'[{"amount": 1}]', "one JSON array", "one JSON object per line"),
    (b"\x1f\x8b\x08\x00abcdef", "the gzip file is damaged", "Compress and upload it again"),
    (gzip.compress(csv())[:-20], "the gzip file is damaged", "upload it again"),
    (b"PAR1 and not more", "the Parquet file cannot be read: its end is missing", "upload CSV"),
    (
        csv(header="Amount,country,label"),
        r"the column amount \(feature\) is missing",
        "Rename 'Amount' if that is meant",
    ),
    (csv(header="amount,land,label"), r"the column country \(feature\) is missing", "Add the column"),
    (csv(header="amount,country,Label "), r"the column label \(target\) is missing", "Rename 'Label'"),
    (csv(header="a,b,c"), r"none of the 3 wanted columns is there: the header is wrong \('a', 'b', 'c'\)", "must name"),
    (csv(header="1.5,DE,0"), "none of the 3 wanted columns is there: the first line seems to hold values", "must name"),
    (csv(header="amount,country,label,label"), "the column label is there more than once", "Keep one"),
    (
        with_bad(40),
        r"40 of 100 rows \(40.0%\) cannot be used, at most 5.0%",
        "Most often: amount: 'abc' is no number (40 rows, first in line 2).",
    ),
    (b'amount,country,label\n1,"DE,0\n2,FR,1\n', "line 2: .*a quotation mark is opened and never closed", "Double"),
    (csv([(amount, country, "1") for amount, country, _ in ROWS]), "has the label '1', so there is nothing", "two cla"),
    (b"{not json\n" * 30, "no line is a JSON object", "Write one object per line"),
]


@pytest.mark.parametrize(("data", "sentence", "advice"), REFUSALS, ids=[sentence for _, sentence, _ in REFUSALS])
def test_what_cannot_be_learnt_from_is_refused_with_a_sentence_and_advice(
    data: bytes, sentence: str, advice: str
) -> None:
    found = validation(data)
    assert found.report.verdict == "refused"
    with pytest.raises(DataRefused, match=f"march.csv is refused: .*{sentence}") as refusal:
        _ = found.table
    assert advice in refusal.value.advice
    assert html.escape(found.report.summary) in found.report.page()
    json.dumps(found.report.to_document(), allow_nan=False)


def test_a_good_file_is_a_table_and_a_report() -> None:
    found = validation(csv())
    assert found.report.verdict == "accepted with warnings"  # the rows repeat
    assert found.refusal is None
    assert list(found.table.columns) == ["amount", "country", "label"]
    assert found.table["amount"].dtype == np.float64
    assert found.table["label"].dtype == np.int64
    assert found.table["country"].tolist()[:3] == ["DE", "FR", "IT"]
    assert found.report.summary == "march.csv: all 100 rows can be used."


def test_csv_json_lines_and_parquet_give_the_same_table(tmp_path: Path) -> None:
    from arro3.core import Array, DataType, Table
    from arro3.io import write_parquet

    amounts, countries, labels = zip(*ROWS, strict=True)
    lines = b"".join(
        orjson.dumps({"amount": float(amount), "country": country, "label": int(label)}) + b"\n"
        for amount, country, label in ROWS
    )
    columns: dict[str, Any] = {
        "amount": Array(np.array(amounts, float)),
        "country": Array(list(countries), type=DataType.utf8()),
        "label": Array(np.array(labels, int)),
    }
    write_parquet(Table.from_pydict(columns), tmp_path / "table.parquet")
    wanted = validation(csv()).table.to_bytes()
    for data in (lines, (tmp_path / "table.parquet").read_bytes()):
        assert validation(data).table.to_bytes() == wanted
        assert validation(gzip.compress(data)).table.to_bytes() == wanted


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"])
def test_a_table_in_any_encoding_is_the_same(encoding: str, end: str) -> None:
    model = spec(features={"amount": {"minimum": 0.0}})
    text = csv([(amount, "Österreich", label) for amount, _, label in ROWS], end=end).decode()
    found = validation(text.encode(encoding), model)
    assert set(found.table["country"].tolist()) == {"Österreich"}
    assert found.table.rows == 100


@pytest.mark.parametrize("name", ["ORCID", "BZh", "GIF8", "ARROW1"])
def test_a_column_may_begin_as_the_content_of_other_files_does(name: str) -> None:
    found = validation(csv([("x", *row) for row in ROWS], header=f"{name},amount,country,label"))
    assert (found.refusal, found.report.ignored) == (None, (name,))


def test_a_key_may_first_be_there_in_a_later_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BLOCK", 4000)
    lines = [orjson.dumps({"amount": 1.5, "label": row % 2} | ({"country": "DE"} if row > 900 else {})) + b"\n"
             for row in range(1000)]  # fmt: skip
    found = validation(b"".join(lines), spec(features={}))
    assert found.report.rows == 1000
    assert found.table["country"].tolist() == [""] * 901 + ["DE"] * 99
    assert "the column country (feature) is missing" in validation(b"".join(lines[:900])).report.summary


def test_bad_rows_are_counted_with_line_reason_and_row() -> None:
    rows = [*ROWS, ("-1", "XX", "7"), ("", "DE", "1"), ("1", "DE"), ("inf", "DE", "0"), ("1e39", "DE", "0")]
    model = spec(training={"recipe": "tabular", "target": "label", "max_bad_share": 0.2})
    found = validation(csv(rows), model)
    lines = [orjson.loads(line) for line in found.bad_rows.to_lines()]
    assert [(line["line"], line["reasons"]) for line in lines] == [
        (
            102,
            [
                "amount: '-1' is below the minimum 0",
                "country: 'XX' is none of DE, FR, IT",
                "label: '7' is none of 0, 1",
            ],
        ),
        (103, ["amount is missing"]),
        (104, ["has 2 fields, and the header has 3"]),
        (105, ["amount: 'inf' is infinite"]),
        (106, ["amount: '1e39' is above the maximum 3.40282e+38"]),
    ]
    assert lines[0]["row"] == {"amount": "-1", "country": "XX", "label": "7"}
    assert found.table.rows == 100
    assert found.report.summary == "march.csv: 100 rows can be used, 5 (4.8%) cannot."


def test_the_share_of_bad_rows_that_is_allowed_is_the_specs() -> None:
    strict = spec(training={"recipe": "tabular", "target": "label", "max_bad_share": 0.0})
    assert validation(with_bad(5)).refusal is None
    assert validation(with_bad(1), strict).refusal is not None


def test_bad_rows_beyond_a_number_are_only_counted() -> None:
    model = spec(training={"recipe": "tabular", "target": "label", "max_bad_share": 0.999})
    found = validation(csv([*ROWS, *[("x", "DE", "0")] * (KEPT + 5)]), model)
    lines = list(found.bad_rows.to_lines())
    assert len(lines) == KEPT + 1
    assert orjson.loads(lines[-1]) == {"left_out": 5}
    assert found.bad_rows.total == KEPT + 5


def test_of_a_wide_table_fewer_bad_rows_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(badrows, "KEPT_VALUES", 30)
    found = validation(with_bad(100))
    assert [len(found.bad_rows.kept), orjson.loads(list(found.bad_rows.to_lines())[-1])] == [10, {"left_out": 90}]
    both = BadRows()
    for _ in range(2):
        both.merge(found.bad_rows)
    assert (both.total, len(both.kept)) == (200, 10)


def test_rows_that_are_not_in_the_encoding_are_bad_rows() -> None:
    data = csv() + b"1.5,\xff\xfe,1\n"
    long = data.replace(b"amount,country,label\n", b"amount,country,label\n" + b"1.5,DE,1\n" * 8000)
    found = validation(long)
    assert found.bad_rows.kept[0].reasons == ("is not UTF-8 text",)
    assert found.table.rows == 8100


def test_personal_values_are_in_no_report_and_no_quarantine() -> None:
    inputs = [
        {"name": "amount", "datatype": "FP32", "shape": [-1, 1], "pii": "drop"},
        {"name": "country", "datatype": "BYTES", "shape": [-1, 1], "pii": "hash"},
    ]
    rows = [*((f"{number}.25", "Muriel", str(number % 2)) for number in range(100)), ("oops", "Zaphod", "1")]
    found = validation(csv(rows), spec(inputs=inputs, features={}))
    everything = str(found.report.to_document()) + found.report.page() + str(list(found.bad_rows.to_lines()))
    for secret in ("Muriel", "Zaphod", "oops", "99.25"):
        assert secret not in everything
    assert "amount: a value is no number" in everything
    headless = validation(csv(rows[1:], header="1.25,Muriel,0"), spec(inputs=inputs, features={}))
    assert "Muriel" not in str(headless.report.to_document()) + headless.report.page()
    assert "the first line seems to hold values." in headless.report.summary


def test_a_report_is_one_page_that_needs_nothing_else() -> None:
    page = validation(csv([*ROWS, ("<script>", "DE", "1")])).report.page()
    assert page.startswith("<!doctype html>")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page
    assert "<svg" in page


def test_columns_nobody_asked_for_are_ignored_and_named() -> None:
    found = validation(csv([(*row, "x") for row in ROWS], header="amount,country,label,note"))
    assert found.report.ignored == ("note",)
    assert "note" not in found.table.columns
    assert "Not asked for, and ignored: note." in found.report.page()


def test_a_recipe_may_want_other_columns_than_the_spec() -> None:
    wanted = (Column("user", "text", "other"), Column("item", "text", "other"), Column("at", "time", "time"))
    rows = [(f"u{number % 9}", f"i{number % 11}", f"2026-01-{1 + number % 28:02}") for number in range(50)]
    found = validation(csv(rows, header="user,item,at"), columns=wanted)
    assert list(found.table.columns) == ["user", "item", "at"]
    assert found.table["at"][0] == 1767225600.0
    missing = validation(csv(rows, header="user,item,at"), columns=(Column("user", "text"), Column("what", "text")))
    assert missing.report.refusals[0].column == "what"


def test_a_file_over_the_limit_is_refused_before_it_is_read() -> None:
    def never() -> Iterator[bytes]:
        raise AssertionError("read")
        yield b""

    found = validate(never(), "huge.csv", spec(), size=2_000_000_000, limit=500_000_000)
    assert "more than 500 million bytes" in str(found.refusal)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_of_unknown_size_is_refused_when_it_passes_the_limit(pack: Any) -> None:
    read = 0

    def pieces() -> Iterator[bytes]:
        nonlocal read
        for start in range(0, len(data), 1 << 16):
            read += 1
            yield data[start : start + (1 << 16)]

    data = pack(csv(ROWS * 2_000))
    found = validate(pieces(), "huge.csv", spec(), limit=1_000_000)
    assert "more than 1 million bytes" in str(found.refusal)
    assert read << 16 < 1_200_000


def test_values_that_a_file_does_not_write_down_count_too() -> None:
    found = validation(b'{"amount":1,"country":"DE","label":1}\n' + b"{}\n" * 3000, limit=10_000)
    assert "more than 0 million bytes" in str(found.refusal)


def test_pieces_of_any_size_are_the_same_file() -> None:
    data = csv([*ROWS, ("1", '"Fr\nance"', "1")])
    model = spec(features={})
    whole = validation(data, model)
    for size in (1, 7, 1000):
        pieces = (memoryview(data)[start : start + size] for start in range(0, len(data), size))
        found = validate(pieces, "march.csv", model)
        assert found.table.to_bytes() == whole.table.to_bytes()


def test_a_stream_and_a_file_are_the_same() -> None:
    assert validate(io.BytesIO(csv()), "a", spec()).table.rows == validate(iter([csv()]), "a", spec()).table.rows
