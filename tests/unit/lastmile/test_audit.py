import hashlib
import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastmile.audit import DONE, VISIBLE, AuditEntry, Order, Serving, entry_key, new_entry, rfc3339
from lastmile.errors import InvalidInput
from lastmile.ulid import new_ulid, ulid_milliseconds

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=50).filter(lambda text: re.search(VISIBLE, text))


def entry(why: str = "because", last: AuditEntry | None = None) -> AuditEntry:
    return new_entry(
        "fraud",
        Order("promote", 3, "ann", why),
        outcome=DONE,
        revisions=(4, 5),
        states=(Serving(champion=2), Serving(champion=3, previous=2)),
        last=last,
    )


@given(texts)
def test_an_entry_comes_back_from_its_bytes_and_gives_the_same_bytes_again(why: str) -> None:
    made = entry(why, last=entry())
    assert AuditEntry.from_bytes(made.to_bytes()) == made
    assert AuditEntry.from_bytes(made.to_bytes()).to_bytes() == made.to_bytes()


def test_the_bytes_are_canonical_and_the_link_is_over_them() -> None:
    made = entry()
    assert made.to_bytes() == orjson.dumps(orjson.loads(made.to_bytes()), option=orjson.OPT_SORT_KEYS)
    assert made.link().sha256 == hashlib.sha256(made.to_bytes()).hexdigest()
    assert made.link().key == made.key


def test_an_entry_is_stored_under_its_day_and_says_its_time() -> None:
    made = entry()
    day = made.at[:10].replace("-", "/")
    assert made.key == f"audit/{day}/{made.id}.json"
    assert made.at.endswith("Z")


@given(st.integers(0, 4_102_444_800_000))
def test_the_day_of_the_key_is_that_of_the_time_at_any_millisecond(milliseconds: int) -> None:
    key = entry_key(new_ulid(milliseconds / 1000))
    assert abs(ulid_milliseconds(key[-31:-5]) - milliseconds) <= 1
    assert key.startswith(f"audit/{rfc3339(ulid_milliseconds(key[-31:-5]))[:10].replace('-', '/')}/")


@pytest.mark.parametrize(
    "name", ["", "x", "../" * 9, "8" + "0" * 25, "U" * 26, "01arz3ndektsv4rrffq69g5fav", "0" * 25 + "/"]
)
def test_what_is_no_ulid_has_no_key(name: str) -> None:
    with pytest.raises(ValueError, match=r"ULID|substring"):
        entry_key(name)


@pytest.mark.parametrize(
    ("actor", "why", "message"),
    [
        ("", "x", "'actor' must be"),
        (" ", "x", "'actor' must be"),
        ("a" * 257, "x", "'actor' must be"),
        ("a", "\x1f\x00\xa0", "'why' must be a text of 1 to 2000 characters"),
        ("a", "\n", "'why' must be a text of 1 to 2000 characters"),
        ("a", "x" * 2001, "'why' must be"),
        ("a", "\ud800", "'why' holds half a character"),
        ("a", 3, "'why' must be"),
    ],
)
def test_an_order_says_who_and_why(actor: str, why: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Order("promote", 1, actor, why)
