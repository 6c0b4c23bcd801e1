"""Characters as BERT's uncased tokenizer sees them: in lower case, without accents, and as parts of words or not.

After `BasicTokenizer` of Google's BERT (https://github.com/google-research/bert, tokenization.py): control characters
and accents vanish, white space parts words, punctuation and Chinese characters are words of their own.
"""

import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Self

import numpy as np

from lastmile.tensors import Array

SPACE, GONE, OTHER, SINGLE = 0, 1, 2, 3  # SINGLE is a word of its own that no piece holds, OTHER a letter like that
FIRST = 4
CHINESE = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


@dataclass(frozen=True)
class Characters:
    """`letters[n]`, a character of some piece, has the code n + FIRST."""

    letters: tuple[str, ...]

    @classmethod
    def of(cls, pieces: Iterable[str]) -> Self:
        return cls(tuple(sorted(set().union(*pieces))))

    @cached_property
    def known(self) -> dict[str, int]:
        """The code of every character that has another than OTHER."""
        codes = {letter: code for code, letter in enumerate(self.letters, FIRST)}
        found = {char: codes.get(base, otherwise) for char, base, otherwise in _all_characters()}
        return {char: code for char, code in found.items() if code != OTHER}

    @cached_property
    def single(self) -> Array:
        """For each code whether it is a word of its own."""
        return np.array([False, False, False, True, *map(is_single, self.letters)])

    def codes(self, text: str) -> list[int]:
        """One for each character that does not vanish."""
        found = (self.known.get(char, OTHER) for char in text)
        return [code for code in found if code != GONE]


def plain(char: str) -> str:
    """In lower case and without accents: one character, none, or several where a script writes so."""
    parts = unicodedata.normalize("NFD", char.lower())
    return "".join(part for part in parts if unicodedata.category(part) != "Mn")


def is_single(char: str) -> bool:
    point = ord(char)
    if char.isascii():
        return char.isprintable() and not char.isalnum() and char != " "
    return unicodedata.category(char).startswith("P") or any(low <= point <= high for low, high in CHINESE)


@cache
def _all_characters() -> tuple[tuple[str, str, int], ...]:
    """Each with the character that it counts as, and its code where no piece holds that."""
    chars = (chr(point) for point in range(sys.maxunicode + 1))
    return tuple(
        (char, *_counted(char, category))
        for char in chars
        if (category := unicodedata.category(char)) not in ("Cn", "Co", "Cs")
    )


def _counted(char: str, category: str) -> tuple[str, int]:
    if char in " \t\n\r" or category in ("Zs", "Zl", "Zp"):
        return "", SPACE
    if char in "\0\ufffd" or category.startswith("C"):
        return "", GONE
    base = plain(char)[:1]
    if not base:
        return "", GONE
    return base, SINGLE if is_single(base) else OTHER
