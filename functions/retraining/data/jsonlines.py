"""One JSON object per line. A key that is absent is a missing value."""

from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from typing import Any

import orjson

from functions.retraining.data.chunk import Chunk, Opened, Torn
from functions.retraining.data.source import Source, as_utf8, blocks
from lastmile.errors import DataRefused

MOST_HELD = 16  # blocks, of some millions of bytes each, that are looked through for keys that are wanted


def opened(source: Source, wanted: Collection[str]) -> Opened:
    """The columns are the keys of the first block, and those of the next ones until all that are wanted are there."""
    source, encoding = as_utf8(source)
    pieces = blocks(source)
    names: dict[str, None] = {}
    held: list[bytes] = []
    while len(held) < MOST_HELD and (block := next(pieces, b"")):
        held.append(block)
        names.update(dict.fromkeys(chain.from_iterable(_objects(block, encoding))))
        if names.keys() >= set(wanted):
            break
    if not names:
        raise DataRefused("no line is a JSON object", 'Write one object per line, such as {"amount": 12.5}.')
    return Opened("JSON lines", tuple(names), lambda of: _chunks(chain(held, pieces), encoding, of))


def _objects(block: bytes, encoding: str) -> Iterator[dict[str, Any]]:
    return (row for _, row in _rows(block, encoding, 1) if type(row) is dict)


def _chunks(pieces: Iterator[bytes], encoding: str, wanted: Sequence[str]) -> Iterator[Chunk]:
    line = 1
    for block in pieces:
        rows: list[dict[str, Any]] = []
        lines: list[int] = []
        torn: list[Torn] = []
        for number, row in _rows(block, encoding, line):
            if type(row) is dict:
                rows.append(row)
                lines.append(number)
            else:
                torn.append(Torn(number, row if type(row) is str else "is no JSON object"))
        line += block.count(b"\n")
        yield Chunk(lines, {name: [row.get(name) for row in rows] for name in wanted}, tuple(torn))


def _rows(block: bytes, encoding: str, line: int) -> Iterator[tuple[int, Any]]:
    """(line number, object, or why there is none)."""
    if encoding != "utf-8":
        block = block.decode(encoding, "replace").encode()
    for number, text in enumerate(block.split(b"\n")[:-1], line):
        if text.strip():
            try:
                row = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                yield number, f"is no JSON: {error}"
            else:
                yield number, row if type(row) is dict else None
