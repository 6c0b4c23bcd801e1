import time

import numpy as np
import pytest

from lastmile.personal import hiding, masked
from lastmile.tensors import TensorSpec


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("write to jane.doe+x@mail.example.co.uk.", "write to <email>."),
        ("a@b.de,ü@c.org and @nobody", "<email>,<email> and @nobody"),
        ("call +49 30 1234567 or 030/123456-7", "call <phone> or <phone>"),
        ("(555) 123-4567 or 555.123.4567 or 00441234567890", "<phone> or <phone> or <phone>"),
        ("card 4111 1111 1111 1111, 4111111111111111", "card <card>, <card>"),
        ("no card: 4111111111111112", "no card: 4111111111111112"),
        ("DE89 3704 0044 0532 0130 00, GB82WEST12345698765432", "<iban>, <iban>"),
        ("no IBAN: DE89370400440532013001", "no IBAN: DE89370400440532013001"),
        ("no IBAN: GB12 İİİİ WEST", "no IBAN: GB12 İİİİ WEST"),
        ("no IBAN: GB12 \u212aING WEST", "no IBAN: GB12 \u212aING WEST"),
        ("gb82 west 1234 5698 7654 32", "<iban>"),
        ("on 2026-11-21 at 10:20:30, 21.11.2026 030 1234567", "on 2026-11-21 at 10:20:30, 21.11.2026 <phone>"),
        ("order 12345678: 1234567.89, 10.000.000, 1 000 000", "order 12345678: 1234567.89, 10.000.000, 1 000 000"),
        (f"{'a' * 70}@b.de", "<email>"),
        ("", ""),
    ],
)
def test_addresses_and_numbers_are_replaced_by_their_kind(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize("text", ["1", "1 ", "1-", "a", "a@b.", "DE89 AAAA ", "4111 ", "@", "(", "+1", "a" * 63 + "@"])
def test_no_text_takes_long(text: str) -> None:
    started = time.process_time()
    masked(text * 20_000)
    assert time.process_time() - started < 2


def test_only_personal_inputs_are_touched_and_arrays_keep_their_shape() -> None:
    specs = (
        TensorSpec("age", "FP32", (-1,), pii="drop"),
        TensorSpec("customer", "INT64", (-1, 2), pii="hash"),
        TensorSpec("ticket", "BYTES", (-1, 1), pii="mask"),
        TensorSpec("amount", "FP32", (-1,)),
    )
    hidden = hiding({spec.name: spec for spec in specs}, b"key")
    assert list(hidden) == ["age", "customer", "ticket"]
    assert hidden["age"](np.ones(2)) is None
    hashed = hidden["customer"](np.array([[1, 2], [2, 1]]))
    assert hashed is not None
    assert hashed.shape == (2, 2)
    assert hashed[0, 0] == hashed[1, 1] != hashed[0, 1] == hashed[1, 0]
    ticket = hidden["ticket"](np.array([["a@b.de"], ["b"]], dtype=object))
    assert ticket is not None
    assert ticket.tolist() == [["<email>"], ["b"]]


def test_a_digest_cannot_be_had_without_the_key() -> None:
    spec = TensorSpec("customer", "INT64", (-1,), pii="hash")
    found = {key: hiding({"customer": spec}, key)["customer"](np.array([7])) for key in (b"1", b"2", None)}
    one, other = found[b"1"], found[b"2"]
    assert one is not None
    assert other is not None
    assert one[0] != other[0]
    assert found[None] is None
