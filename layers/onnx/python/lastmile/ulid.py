"""ULIDs: 26 characters that sort by time (https://github.com/ulid/spec)."""

import os
import time
from functools import lru_cache

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_LETTERS = frozenset(_ALPHABET)
_PYTHONS = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")  # base 32 as int() reads it
_CHARACTERS = (_ALPHABET * 8).encode()  # for each byte, the character of its last five bits


def new_ulid(at: float | None = None) -> str:
    """A fresh ULID for `at` (seconds since 1970, now by default).

    The 80 random bits come from the operating system each time, so two machines restored from one
    snapshot never repeat each other.
    """
    milliseconds = int((time.time() if at is None else at) * 1000)
    moment = bytes((milliseconds >> 10 & 255, milliseconds >> 5 & 255, milliseconds & 255))
    return (_half_minute(milliseconds >> 15) + moment + os.urandom(16)).translate(_CHARACTERS).decode()


@lru_cache(maxsize=1)
def _half_minute(number: int) -> bytes:
    """The first seven characters, which stay for 32 seconds."""
    return bytes([number >> shift & 255 for shift in (30, 25, 20, 15, 10, 5, 0)])


def ulid_milliseconds(ulid: str) -> int:
    """The time in a ULID, in milliseconds since 1970; raises ValueError when it is no ULID."""
    if len(ulid) != 26 or ulid[0] > "7" or not _LETTERS.issuperset(ulid):
        raise ValueError(f"{ulid!r} is no ULID")
    return int(ulid[:10].translate(_PYTHONS), 32)
