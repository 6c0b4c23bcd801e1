"""Which columns are not there, and what they may be called instead."""

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence

from functions.retraining.data.columns import Column
from functions.retraining.data.findings import Finding

MOST_SPARE = 1000  # names that may be meant instead of a missing one
MOST_GUESSES = 20  # missing columns for which a name is looked for that may be meant


def missing_columns(names: Sequence[str], columns: Sequence[Column]) -> Iterator[Finding]:
    """Refusals for what the file lacks or has twice."""
    wanted = {column.name for column in columns}
    if not wanted & set(names):
        shown = ", ".join(f"'{name}'" if len(name) <= 40 else f"'{name[:37]}...'" for name in names[:6])
        looks = "the first line seems to hold values" if _are_values(names) else "the header is wrong"
        yield Finding(
            "refused",
            f"none of the {len(wanted)} wanted columns is there: {looks}"
            + ("" if _may_be_personal(names, columns) else f" ({shown})"),
            f"The first line must name the columns: {', '.join(column.name for column in columns[:20])}.",
        )
        return
    counts = Counter(names)
    spare = [name for name in counts if name not in wanted][:MOST_SPARE]
    missing = [column for column in columns if column.name not in counts]
    for number, column in enumerate(missing):
        near = nearest(column.name, spare) if number < MOST_GUESSES else None
        advice = f"Rename '{near}' if that is meant." if near else "Add the column."
        yield Finding("refused", f"the column {column.name} ({column.role}) is missing", advice, column.name)
    for name in sorted(name for name in wanted if counts[name] > 1):
        yield Finding("refused", f"the column {name} is there more than once", "Keep one of them.", name)


def extra_columns(names: Sequence[str], columns: Sequence[Column]) -> list[str]:
    if _may_be_personal(names, columns):
        return []
    wanted = {column.name for column in columns}
    return [name for name in dict.fromkeys(names) if name not in wanted]


def nearest(name: str, others: Sequence[str]) -> str | None:
    plain = {_plain(other): other for other in others}
    found = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.75)
    return plain[found[0]] if found else None


def _may_be_personal(names: Sequence[str], columns: Sequence[Column]) -> bool:
    """What stands where no column is named may be somebody's row."""
    return any(column.pii for column in columns) and not any(column.name in names for column in columns)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _are_values(names: Sequence[str]) -> bool:
    return sum(_is_number(name) for name in names) * 2 >= len(names)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
