"""How a delimited text is written: found by trying what is usual on its first lines."""

import csv
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _csv import Reader

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SOME_LINES = 50
LONGEST_FIELD = 1 << 26
WITH_COMMA = re.compile(r"\s*[-+]?(\d+|\d{1,3}(\.\d{3})+),\d+\s*")
WITH_BOTH = re.compile(r"\s*[-+]?\d{1,3}(\.\d{3})+,\d+\s*")
WITH_THOUSANDS = re.compile(r"\s*[-+]?\d{1,3}(\.\d{3})+\s*")
WITH_POINT = re.compile(r"\s*[-+]?\d*\.\d+\s*")


@dataclass(frozen=True)
class Dialect:
    delimiter: str = ","
    quote: str = '"'
    escape: str | None = None
    spaced: bool = False

    def read(self, lines: Iterable[str]) -> "Reader":
        csv.field_size_limit(LONGEST_FIELD)  # of the whole process, where it is too small for an article or a log
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote,
            doublequote=self.escape is None,
            escapechar=self.escape,
            skipinitialspace=self.spaced,
        )

    def __str__(self) -> str:
        return f"CSV separated by {DELIMITERS[self.delimiter]}"


def sniff(text: str, wanted: Collection[str]) -> Dialect:
    """The dialect in which the first line names most of the `wanted` columns, and the lines are equally long."""
    quote = _quote(text)
    escape = "\\" if _is_escaped(text, quote) else None
    found = [Dialect(delimiter, quote, escape, _is_spaced(text, delimiter)) for delimiter in DELIMITERS]
    return max(found, key=lambda dialect: _fit(dialect, text, wanted))


def lines(text: str) -> list[str]:
    """With their ends; only a line feed is one."""
    return list(StringIO(text))


def decimal(fields: Sequence[str]) -> str:
    """What stands before the fraction of the numbers in these fields: a comma only if no point ever does. Points
    between thousands are none, once a number has such points and a comma."""
    if not any(map(WITH_COMMA.fullmatch, fields)):
        return "."
    if any(map(WITH_BOTH.fullmatch, fields)):
        fields = [field for field in fields if not WITH_THOUSANDS.fullmatch(field)]
    return "." if any(map(WITH_POINT.fullmatch, fields)) else ","


def _fit(dialect: Dialect, text: str, wanted: Collection[str]) -> tuple[int, float, int]:
    rows = [row for row in _first(dialect, text) if row]
    if not rows:
        return 0, 0.0, 0
    hits = len({name.strip() for name in rows[0]} & set(wanted))
    regular = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
    return hits, regular * (len(rows[0]) > 1), len(rows[0])


def _first(dialect: Dialect, text: str) -> Iterator[list[str]]:
    rows = dialect.read(islice(StringIO(text), SOME_LINES))
    while True:
        try:
            yield next(rows)
        except (StopIteration, csv.Error):
            return


def _quote(text: str) -> str:
    """A single quotation mark only where it encloses fields and the double one does not occur."""
    enclosed = re.findall(r"(?:^|[,;\t|])'[^'\n]*'(?=$|[,;\t|\r\n])", text, re.MULTILINE)
    return "'" if '"' not in text and 2 * len(enclosed) >= text.count("'") > 0 else '"'


def _is_escaped(text: str, quote: str) -> bool:
    """Whether a backslash stands before quotation marks inside of fields, and they are not doubled as well."""
    inside = re.search(rf"\\{quote}(?![,;\t|\r\n]|$)", text)
    return inside is not None and re.search(rf"[^,;\t|\n]{quote * 2}", text.replace(f"\\{quote}", "")) is None


def _is_spaced(text: str, delimiter: str) -> bool:
    count = text.count(delimiter)
    return delimiter != "\t" and count > 0 and text.count(f"{delimiter} ") >= 0.9 * count
