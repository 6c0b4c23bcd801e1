"""What becomes of inputs declared personal before a prediction is captured: dropped, hashed with a key, or masked.

Numbers are checked as their makers check them: cards by Luhn (ISO/IEC 7812-1), IBANs by mod 97 (ISO 13616).
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from lastmile.tensors import Array, TensorSpec

DIGEST_BYTES = 16
KEY_BYTES = 32

LOCAL = r"[\w.!#$%&'*+/=?^`{|}~-]"
# What stands before the @ is looked at once, from its beginning: texts come from strangers, and may be long.
EMAIL = re.compile(rf"(?<!{LOCAL}){LOCAL}++@(?:[^\W_](?:[\w-]{{0,61}}[^\W_])?\.){{1,8}}[^\W\d_]{{2,24}}")
# ASCII alone: else İ and the sign of the kelvin would be letters here, which have no place in the alphabet of an IBAN.
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b", re.IGNORECASE | re.ASCII)
# A date, which stays, or a run of digits, perhaps grouped.
NUMBER = re.compile(
    r"(?<![\w.,])(?:(?P<date>(?:\d{4}([-./])\d{1,2}\2\d{1,2}|\d{1,2}([-./])\d{1,2}\3\d{4})(?!\d))"
    r"|(?P<digits>(?:\+|00)?\(?\d(?:[ ./()-]{0,2}\d){6,18}(?!\w|[.,]\d)))"
)
AMOUNT = re.compile(r"\d{1,3}(?:[ .]\d{3})+|\d+\.\d+")
CARD_DIGITS = range(13, 20)
PHONE_DIGITS = range(8, 16)  # E.164 allows 15

type Hide = Callable[[Array], Array | None]


def hiding(inputs: Mapping[str, TensorSpec], key: bytes | None) -> dict[str, Hide]:
    """What to do with each personal input; None as its result leaves the input out.

    Without a key nothing is hashed: the input is left out, for a digest without one can be guessed.
    """
    return {name: _hide(spec, key) for name, spec in inputs.items() if spec.pii}


def masked(text: str) -> str:
    """The text with e-mail addresses, IBANs, card and telephone numbers replaced by their kind."""
    if "@" in text:
        text = EMAIL.sub("<email>", text)
    text = IBAN.sub(_iban, text)
    return NUMBER.sub(_number, text)


def _hide(spec: TensorSpec, key: bytes | None) -> Hide:
    if spec.pii == "mask":
        return partial(_each, masked)
    if spec.pii == "hash" and key is not None:
        return partial(_each, partial(_digest, key))
    return _left_out


def _left_out(array: Array) -> None:
    return None


def _each(change: Callable[[str], str], array: Array) -> Array:
    """Elements as text, changed; an empty text says that a value is missing and stays."""
    changed = np.empty(array.size, dtype=object)
    for index, element in enumerate(array.reshape(-1).tolist()):
        text = _text(element)
        changed[index] = change(text) if text else text
    return changed.reshape(array.shape)


def _text(element: Any) -> str:
    return element.decode(errors="replace") if isinstance(element, bytes) else str(element)


def _digest(key: bytes, text: str) -> str:
    return hashlib.blake2b(text.encode(errors="replace"), key=key, digest_size=DIGEST_BYTES).hexdigest()


def _iban(found: re.Match[str]) -> str:
    compact = found[0].replace(" ", "").upper()
    digits = "".join(str(int(character, 36)) for character in compact[4:] + compact[:4])
    return "<iban>" if 15 <= len(compact) <= 34 and int(digits) % 97 == 1 else found[0]


def _number(found: re.Match[str]) -> str:
    """A card number if its check digit fits, else a telephone number if it is written like one."""
    text = found[0]
    if found["date"]:
        return text
    digits = [int(character) for character in text if character.isdigit()]
    if len(digits) in CARD_DIGITS and text[0] != "+" and _luhn(digits):
        return "<card>"
    marked = text[0] in "+0("
    grouped = not text.isdigit() and AMOUNT.fullmatch(text) is None
    return "<phone>" if len(digits) in PHONE_DIGITS and (marked or grouped) else text


def _luhn(digits: list[int]) -> bool:
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
