from typing import Any

import numpy as np
import pytest

from functions.retraining.data.columns import Column
from functions.retraining.data.converting import Converter


def convert(column: Column, raw: Any, decimal: str = ".") -> tuple[list[Any], list[str]]:
    values, problems = Converter(column, decimal).convert(raw)
    assert len(values) == len(raw)
    return values.tolist(), [problem.text for problem in sorted(problems)]


NUMBER, INTEGER = Column("x", "number", nullable=True), Column("x", "integer")
TEXT, TIME = Column("x", "text", nullable=True), Column("x", "time")
NAN = pytest.approx(float("nan"), nan_ok=True)

GOOD = [
    (NUMBER, ["1", " 2.5 ", "-3e2", "+.5"], [1.0, 2.5, -300.0, 0.5]),
    (NUMBER, ["1", "", "NA", "null", "?", "NaN", "none"], [1.0, *[NAN] * 6]),
    (NUMBER, ["true", "False", "2"], [1.0, 0.0, 2.0]),
    (NUMBER, [1, 2.5, None, True], [1.0, 2.5, NAN, 1.0]),
    (NUMBER, [1, "2.5", "", None], [1.0, 2.5, NAN, NAN]),
    (NUMBER, np.array([1, 2], np.int32), [1.0, 2.0]),
    (INTEGER, ["1", "-2", str(2**62 + 1)], [1, -2, 2**62 + 1]),
    (INTEGER, ["1.0", "2"], [1, 2]),
    (INTEGER, [1, True, 2.0], [1, 1, 2]),
    (INTEGER, np.array([1.0, 2.0]), [1, 2]),
    (INTEGER, np.array([True, False]), [1, 0]),
    (TEXT, ["a", "", "ü"], ["a", "", "ü"]),
    (TEXT, ["a", None, 1, 2.0, 2.5, True], ["a", "", "1", "2", "2.5", "true"]),
    (TEXT, np.array([1.0, np.nan]), ["1", ""]),
    (TIME, ["2024-03-01", "2024-03-01T12:00:00Z", "2024-03-01 12:00:00.5"], [1709251200.0, 1709294400.0, 1709294400.5]),
    (TIME, ["2024-03-01T12:00:00+02:00", "2024-03-01"], [1709287200.0, 1709251200.0]),
    (TIME, ["1709251200", "1709251200.5"], [1709251200.0, 1709251200.5]),
    (TIME, [1709251200000, 1709251200], [1709251200.0, 1709251200.0]),
    (TIME, np.array(["2024-03-01"], "datetime64[D]"), [1709251200.0]),
    (TIME, np.array([1709251200000000]), [1709251200.0]),
]


@pytest.mark.parametrize(("column", "raw", "values"), GOOD)
def test_values_are_taken_as_they_are_meant(column: Column, raw: Any, values: list[Any]) -> None:
    assert convert(column, raw) == (values, [])


STRICT = Column("x", "number", minimum=0, maximum=10)
COLOUR = Column("x", "text", nullable=True, categories=("red", "blue"))
YEARS = "is no time (ISO 8601, or seconds since 1970)"
BAD = [
    (TIME, ["1e30", "2024-03-01"], [f"x: '1e30' {YEARS}"]),
    (TIME, ["0001-01-01T00:00:00+01:00"], [f"x: '0001-01-01T00:00:00+01:00' {YEARS}"]),
    (TIME, ["0000-01-01", "2024-03-01"], [f"x: '0000-01-01' {YEARS}"]),
    (TIME, [-9e10, 1709251200], [f"x: -90000000000.0 {YEARS}"]),
    (TIME, np.array([np.inf, np.nan]), [f"x: inf {YEARS}", "x is missing"]),
    (TIME, np.array([1e30, 1709251200.0]), [f"x: 1e+30 {YEARS}"]),
    (TIME, np.array([-90_000_000_000, 1], "datetime64[s]"), [f"x: -90000000000 {YEARS}"]),
    (NUMBER, ["1", "abc"], ["x: 'abc' is no number"]),
    (NUMBER, ["1", "1_000"], ["x: '1_000' is no number"]),
    (NUMBER, ["1,5"], ["x: '1,5' is no number"]),
    (NUMBER, ["inf"], ["x: 'inf' is infinite"]),
    (NUMBER, [1, [2]], ["x: [2] is no number"]),
    (NUMBER, [1, {"y": 1}], ["x: {'y': 1} is no number"]),
    (NUMBER, [10**400], ["x: 1" + "0" * 36 + "... is infinite"]),
    (STRICT, ["-1", "5", "11"], ["x: '-1' is below the minimum 0", "x: '11' is above the maximum 10"]),
    (STRICT, ["", "5"], ["x is missing"]),
    (STRICT, [None, 5], ["x is missing"]),
    (
        STRICT,
        np.array([np.nan, np.inf, 11.0]),
        ["x is missing", "x: inf is infinite", "x: 11.0 is above the maximum 10"],
    ),
    (INTEGER, ["1.5", "2"], ["x: '1.5' is no whole number"]),
    (INTEGER, ["", "2"], ["x is missing"]),
    (INTEGER, [1.5, 2], ["x: 1.5 is no whole number"]),
    (Column("x", "integer", categories=("0", "1")), ["0", "2"], ["x: '2' is none of 0, 1"]),
    (Column("x", "integer", categories=("0", "1")), ["0", "1" * 30], ["x: '" + "1" * 30 + "' is none of 0, 1"]),
    (TEXT, ["a", 1e25], ["x: 1e+25 is no text"]),
    (COLOUR, ["red", "green", ""], ["x: 'green' is none of red, blue"]),
    (TEXT, ["a", ["b"]], ["x: ['b'] is no text"]),
    (Column("x", "text"), ["a", ""], ["x is missing"]),
    (TIME, ["2024-13-01"], ["x: '2024-13-01' is no time (ISO 8601, or seconds since 1970)"]),
    (TIME, ["03/04/2024", "2024-03-01"], ["x: '03/04/2024' is no time (ISO 8601, or seconds since 1970)"]),
    (TIME, ["", "2024-03-01"], ["x is missing"]),
    (TIME, ["nan"], ["x is missing"]),
    (TIME, np.array(["NaT"], "datetime64[us]"), ["x is missing"]),
    (Column("x", "number", pii=True), ["Muriel"], ["x: a value is no number"]),
]


@pytest.mark.parametrize(("column", "raw", "texts"), BAD)
def test_what_cannot_be_taken_is_named(column: Column, raw: Any, texts: list[str]) -> None:
    assert convert(column, raw)[1] == texts


def test_among_decimal_commas_a_point_stands_between_thousands_only() -> None:
    values, problems = convert(NUMBER, ["1.234", "2.5", "-1.234.567,5", "12.34,5"], ",")
    assert (values[0], values[2]) == (1234.0, -1234567.5)
    assert problems == ["x: '2.5' is no number", "x: '12.34,5' is no number"]


def test_a_decimal_comma_is_understood_where_the_file_has_them() -> None:
    assert convert(NUMBER, ["1,5", "1.234,5", "2", ""], ",") == ([1.5, 1234.5, 2.0, NAN], [])


def test_equal_texts_are_one_object() -> None:
    converter = Converter(TEXT)
    first, _ = converter.convert(["".join(("a", "b"))])
    second, _ = converter.convert(["".join(("a", "b"))])
    assert first[0] is second[0]
