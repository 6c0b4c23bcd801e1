"""Characters as small numbers: without case and accents, white space as 0, and whether they belong to words."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from lastmile.tensors import Array

SPACE, OTHER = 0, 1
ALWAYS = "".join(map(chr, range(0x180)))  # what is known even if no training row has it: Latin with its accents


@dataclass(frozen=True)
class Alphabet:
    """`letters[n]` has the code n + 2; `known` maps every character to its code."""

    letters: tuple[str, ...]
    known: dict[str, int]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        seen = set(ALWAYS).union(*texts)
        written = seen | {other for char in seen for other in (char.upper(), char.lower()) if len(other) == 1}
        letters = tuple(sorted({_plain(char) for char in written if not char.isspace()}))
        codes = {letter: code for code, letter in enumerate(letters, OTHER + 1)}
        known = {char: SPACE if char.isspace() else codes[_plain(char)] for char in sorted(written)}
        return cls(letters, known)

    @cached_property
    def in_words(self) -> Array:
        """For each code whether it belongs to words; what is unknown does."""
        return np.array([False, True, *(letter.isalnum() or letter == "_" for letter in self.letters)])

    def codes(self, texts: list[str], longest: int) -> Array:
        """int64 [texts, length]: a space, at most `longest` characters, and spaces up to the longest text's end."""
        cut = [text[:longest] for text in texts]
        length = max(map(len, cut), default=0)
        found = np.full((len(cut), length + 2), SPACE, np.int64)
        for row, text in enumerate(cut):
            points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
            found[row, 1 : 1 + len(points)] = self._table[np.minimum(points, len(self._table) - 1)]
        return found

    @cached_property
    def _table(self) -> Array:
        """The code of every code point; the last entry is of those beyond."""
        table = np.full(max(map(ord, self.known)) + 2, OTHER, np.int64)
        for char, code in self.known.items():
            table[ord(char)] = code
        return table


def _plain(char: str) -> str:
    """In lower case and without its accents, where that is one character."""
    lower = char.lower() if len(char.lower()) == 1 else char
    base = unicodedata.normalize("NFKD", lower)[0]
    return base if not base.isspace() else lower
