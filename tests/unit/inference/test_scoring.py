"""What data frames may say that JSON's other forms cannot."""

import gzip
import json
from typing import Any

import pytest

from lastmile.protocols import scoring
from lastmile.protocols.messages import Request, Response
from tests.unit.inference.doors import PIXELS, fill, open_serving


@pytest.fixture(scope="module")
def ask() -> Any:
    serving = fill(open_serving())

    def asked(model: str, body: bytes, content_type: str = "text/csv", encoding: str = "identity") -> Response:
        headers = {"content-type": content_type, "content-encoding": encoding}
        response = serving.protocols.answer(Request("POST", "/invocations", f"model={model}", headers, body))
        assert response is not None
        return response

    return asked


def image(cell: str) -> bytes:
    return f"{','.join(PIXELS)}\n{','.join(['1'] * 63)},{cell}\n".encode()


@pytest.mark.parametrize("cell", ["inf", "-inf", "Infinity", "1e999", "1_0", "\u0661"])
def test_a_cell_is_a_number_as_json_has_them(ask: Any, cell: str) -> None:
    response = ask("digits", image(cell))
    assert response.status == 400
    assert f"line 2 of the CSV, column 'pixel_7_7': {cell!r} is not readable" in json.loads(response.body)["message"]


@pytest.mark.parametrize("cell", ["", "nan", "NaN"])
def test_a_cell_that_is_no_number_is_missing(ask: Any, cell: str) -> None:
    response = ask("digits", image(cell))
    assert response.status == 400
    assert "is null, and the tensor is not nullable" in json.loads(response.body)["message"]


def test_columns_that_no_input_wants_are_ignored_whatever_they_hold(ask: Any) -> None:
    assert json.loads(ask("echo", b"id,text,id\n1_0,a,\n\n\xd9\xa1,b,\n").body) == {"predictions": ["a", "b"]}


def test_records_that_each_name_other_columns_cost_what_they_hold(ask: Any) -> None:
    records: list[dict[str, Any]] = [{str(number): 1} for number in range(100_000)]
    records[0] = {"text": "a"}
    response = ask("echo", json.dumps({"dataframe_records": records}).encode(), "application/json")
    assert json.loads(response.body)["message"] == "input 'text': element 1 is null, and the tensor is not nullable"


def test_records_that_leave_out_most_are_bounded(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "MOST_CELLS", 1000)
    body = json.dumps({"dataframe_records": [dict.fromkeys(PIXELS, 1.0), *[{}] * 20]}).encode()
    response = ask("digits", body, "application/json")
    assert response.status == 413
    assert "21 rows of 64 columns" in json.loads(response.body)["message"]


def test_lines_that_were_packed_into_few_bytes_are_counted_before_they_are_read(ask: Any) -> None:
    response = ask("digits", gzip.compress(b"pixel_0_0\n" + b"1,2,3\n" * 1_100_000), encoding="gzip")
    assert response.status == 413
    assert "more than 1,000,000 lines" in json.loads(response.body)["message"]
