"""Rows of a file, a CSV or JSON, as the values a model's inputs take. Each row knows where it stood."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cli.errors import CommandFailed
from lastmile.tensors import TensorSpec

OTHER_DELIMITERS = (";", "\t", "|")
LONGEST_LIST = 10  # of what is wrong; the rest is counted
BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `inputs` maps an input's name to a number, text or nested list; `where` is like `line 7`."""

    where: str
    inputs: Mapping[str, Any]

    @property
    def shapes(self) -> tuple[list[int], ...]:
        return tuple(shape_of(value) for value in self.inputs.values())


class BadRow(Exception):
    """What keeps a row from being sent."""


type Record = Mapping[str, Any] | BadRow


def read(text: str, specs: Sequence[TensorSpec]) -> list[Row]:
    """All rows, or CommandFailed naming each line that is wrong; nothing is skipped silently.

    JSON is one object, a list of objects, one object per line, or lists of values for a model with one input;
    anything else is CSV whose header names the columns.
    """
    stripped = text.lstrip("\ufeff \t\r\n")
    if not stripped:
        raise CommandFailed("There is no data to predict.", next_step="Give a CSV or JSON file with --data.")
    records = (from_json if stripped[0] in "[{" else from_csv)(text.removeprefix("\ufeff"), specs)
    rows, problems = [], []
    for where, record in records:
        try:
            rows.append(Row(where, {spec.name: taken(record, spec) for spec in specs}))
        except BadRow as problem:
            problems.append(f"{where}: {problem}")
    if problems:
        raise CommandFailed(brief(problems), next_step="Mend these rows; no row was sent.")
    if not rows:
        raise CommandFailed("There is no data to predict.", next_step="Give at least one row.")
    return rows


def ignored_columns(text: str, specs: Sequence[TensorSpec]) -> list[str]:
    """Columns of a CSV that no input takes."""
    header = next(csv.reader(io.StringIO(text.removeprefix("\ufeff"))), [])
    taken_columns = {name for spec in specs for name in (*spec.columns, spec.name)}
    return [] if text.lstrip()[:1] in ("[", "{") else [name for name in header if name not in taken_columns]


def of_request(text: str) -> str:
    """The rows of a body as the API takes it, `{"rows": […], "context": […]}` or with `instances`; else the text."""
    if text.lstrip("\ufeff \t\r\n")[:1] != "{":
        return text
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):  # JSON lines, or what is none
        return text
    rows, context = body.get("rows", body.get("instances")), body.get("context")
    if not body.keys() <= {"rows", "instances", "context"} or not isinstance(rows, list):
        return text
    if isinstance(context, list) and len(context) == len(rows) and all(isinstance(row, dict) for row in rows):
        rows = [row | {"context": one} for row, one in zip(rows, context, strict=True)]
    return json.dumps(rows)


def with_commas(text: str) -> str:
    """A CSV whose header has semicolons, tabs or bars and no comma, as spreadsheets write it, with commas instead."""
    found = delimiter_of(text.partition("\n")[0])
    if found == "," or text.lstrip("\ufeff \t\r\n")[:1] in ("[", "{"):
        return text
    written = io.StringIO(newline="")
    try:
        csv.writer(written).writerows(csv.reader(io.StringIO(text, newline=""), delimiter=found, strict=True))
    except csv.Error:
        return text  # who reads it says what is wrong
    return written.getvalue()


def delimiter_of(header: str) -> str:
    found = max(OTHER_DELIMITERS, key=header.count)
    return "," if "," in header or found not in header else found


def from_csv(text: str, specs: Sequence[TensorSpec]) -> Iterator[tuple[str, Record]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader)
        check_header(header, specs)
        line = reader.line_num + 1
        for cells in reader:
            if cells:
                yield f"line {line}", record_of(header, cells)
            line = reader.line_num + 1
    except csv.Error as error:
        raise CommandFailed(f"line {reader.line_num} of the CSV cannot be read: {error}.") from None


def record_of(header: Sequence[str], cells: Sequence[str]) -> Record:
    if len(cells) != len(header):
        return BadRow(f"{len(cells)} cells for {len(header)} columns")
    return dict(zip(header, map(Text, cells), strict=True))


def check_header(header: Sequence[str], specs: Sequence[TensorSpec]) -> None:
    missing = [name for spec in specs for name in (spec.columns or (spec.name,)) if name not in header]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise CommandFailed(
            f"The CSV header lacks {', '.join(missing[:5])}{more}.",
            next_step="The first line must name the model's columns.",
        )
    twice = [name for spec in specs for name in (*spec.columns, spec.name) if header.count(name) > 1]
    if twice:
        raise CommandFailed(f"The CSV header names {twice[0]!r} more than once.", next_step="Rename one of them.")


def from_json(text: str, specs: Sequence[TensorSpec]) -> Iterator[tuple[str, Record]]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        yield from from_json_lines(text, specs, error)
        return
    except (RecursionError, ValueError) as error:
        raise CommandFailed(f"The JSON {beyond(error)}.") from None
    alone = isinstance(document, dict) or is_one_row(document, specs)
    for number, item in enumerate([document] if alone else document, start=1):
        yield f"row {number}", record_from(item, specs)


def is_one_row(values: list[Any], specs: Sequence[TensorSpec]) -> bool:
    """Whether a list is nested as deeply as one row of the model's one input."""
    if len(specs) != 1 or not values or isinstance(values[0], dict):
        return False
    return len(shape_of(values)) == len(specs[0].shape) - 1


def from_json_lines(
    text: str, specs: Sequence[TensorSpec], error: json.JSONDecodeError
) -> Iterator[tuple[str, Record]]:
    """One JSON value per line; when the first line is none by itself, the file is simply not JSON."""
    lines = [(number, line) for number, line in numbered(text) if line.strip()]
    for number, line in lines:
        try:
            item = json.loads(line)
        except json.JSONDecodeError as wrong:
            is_first = number == lines[0][0]
            found, at = (error, error.lineno) if is_first else (wrong, number)
            raise CommandFailed(f"line {at} of the JSON cannot be read: {found.msg}.") from None
        except (RecursionError, ValueError) as wrong:
            raise CommandFailed(f"line {number} of the JSON {beyond(wrong)}.") from None
        yield f"line {number}", record_from(item, specs)


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """Lines from 1 on. Only a line feed ends one: a text in JSON may hold what else Python takes for its end."""
    return enumerate(text.split("\n"), start=1)


def beyond(error: Exception) -> str:
    """What Python does not read although it may be JSON."""
    return "is nested too deeply" if isinstance(error, RecursionError) else "has an integer that is too long"


def record_from(item: Any, specs: Sequence[TensorSpec]) -> Record:
    if isinstance(item, dict):
        return item
    if len(specs) == 1:
        return {specs[0].name: item}
    return BadRow(f"name the inputs: the model takes {', '.join(spec.name for spec in specs)}")


class Text(str):
    """A cell of a CSV, still to be read as its column's datatype."""

    __slots__ = ()


def taken(record: Record, spec: TensorSpec) -> Any:
    """The record's value for one input: its columns in order, or the entry of its own name."""
    if isinstance(record, BadRow):
        raise record
    if spec.name not in record and spec.columns:
        return [cell(record, column, spec) for column in spec.columns]
    value = cell(record, spec.name, spec)
    return check_shape([value] if len(spec.shape) == 2 and shape_of(value) == [] else value, spec)


def cell(record: Mapping[str, Any], name: str, spec: TensorSpec) -> Any:
    if name not in record:
        raise BadRow(f"'{name}' is missing")
    value = record[name]
    return from_text(value, name, spec) if isinstance(value, Text) else check_value(value, name, spec)


def from_text(text: str, name: str, spec: TensorSpec) -> Any:
    if len(spec.shape) > 1 and not spec.columns and text.startswith("["):
        try:
            return check_value(json.loads(text), name, spec)
        except (ValueError, RecursionError):
            raise BadRow(f"'{name}' is {text[:40]!r}, a JSON list is wanted") from None
    if text == "" and spec.datatype != "BYTES":
        return None
    convert, wanted = converter(spec.datatype)
    try:
        return convert(text)
    except (ValueError, KeyError):
        raise BadRow(f"'{name}' is {text[:40]!r}, {wanted} is wanted") from None


def converter(datatype: str) -> tuple[Callable[[str], Any], str]:
    if datatype == "BYTES":
        return str, "text"
    if datatype == "BOOL":
        return lambda text: BOOLEANS[text.lower()], "true or false"
    return (finite, "a number") if datatype.startswith("FP") else (int, "an integer")


def finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def check_value(value: Any, name: str, spec: TensorSpec) -> Any:
    """JSON already has types; what does not fit is left to the API, except for what JSON cannot carry."""
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRow(f"'{name}' is {value}, a number is wanted")
    if isinstance(value, dict):
        raise BadRow(f"'{name}' is an object, {converter(spec.datatype)[1]} or a list is wanted")
    if isinstance(value, list):
        try:
            json.dumps(value, allow_nan=False)
        except (ValueError, RecursionError):
            raise BadRow(f"'{name}' holds a number that is not finite") from None
    return value


def check_shape(value: Any, spec: TensorSpec) -> Any:
    shape, wanted = shape_of(value), list(spec.shape[1:])
    if len(shape) != len(wanted) or any(want not in (-1, got) for got, want in zip(shape, wanted, strict=True)):
        raise BadRow(f"'{spec.name}' has shape {shape}, {wanted} is wanted")
    return value


def shape_of(value: Any) -> list[int]:
    """Lengths along the first element of each level; whether all rows agree is for the API to say."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def brief(problems: Sequence[str]) -> str:
    more = f"\n… and {len(problems) - LONGEST_LIST} more rows" if len(problems) > LONGEST_LIST else ""
    return "\n".join(problems[:LONGEST_LIST]) + more


def batches(rows: Sequence[Row], *, most_bytes: int, most_rows: int) -> Iterator[list[Row]]:
    """Consecutive rows of equal shapes, together no longer than `most_bytes` as JSON; at least one row each."""
    batch: list[Row] = []
    length = 0
    for row in rows:
        added = len(json.dumps(dict(row.inputs)))
        if batch and (length + added > most_bytes or len(batch) == most_rows or row.shapes != batch[0].shapes):
            yield batch
            batch, length = [], 0
        batch.append(row)
        length += added
    if batch:
        yield batch
