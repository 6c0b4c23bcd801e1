import gzip
import tracemalloc
import zlib

import pytest

from lastmile.errors import InvalidInput, PayloadTooLarge
from lastmile.protocols.messages import Request, parse_json


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("NaN", "the body: the value is nan, which JSON cannot say"),
        ('{"inputs": [{"data": [1, [2, -Infinity, NaN]]}]}', r"the body: inputs\[0\].data\[1\]\[1\] is -inf, which"),
        ('[{"a": {}}, [], {"b": 1, "c": Infinity}]', r"the body: \[2\].c is inf, which"),
        ('{"": NaN}', "the body: the value is nan"),
        ('{"a": [1, 2}', "the body is not JSON"),
        ("", "the body is empty"),
    ],
)
def test_an_error_names_the_number_that_is_none(body: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{said}"):
        parse_json(body.encode(), "the body")


@pytest.mark.parametrize("depth", [900, 1010, 5_000, 200_000])
@pytest.mark.parametrize(("start", "end", "step"), [("[", "]", r"\[0\]"), ('{"a":', "}", "a")])
def test_however_deep_a_number_is_nested_the_answer_is_a_sentence(depth: int, start: str, end: str, step: str) -> None:
    body = f'{{"instances": {start * depth}NaN{end * depth}}}'
    with pytest.raises(InvalidInput, match=rf"^the body(: instances.?{step}.*… is nan| is not JSON)") as raised:
        parse_json(body.encode(), "the body")
    assert len(str(raised.value)) < 300


def test_looking_for_the_number_takes_no_memory_of_its_own() -> None:
    body = b"[" + b"1," * 300_000 + b"NaN]"
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput, match=r"\[300000\] is nan"):
            parse_json(body, "the body")
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def unpacked(body: bytes, encoding: str) -> bytes:
    return Request("POST", "/", "", {"content-encoding": encoding}, body).content()


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", " gzip"])
def test_a_coding_has_any_case(encoding: str) -> None:
    assert unpacked(gzip.compress(b"some"), encoding) == b"some"


def test_gzip_files_one_behind_another_are_one() -> None:
    assert unpacked(
        gzip.compress(b"a\n1\n") + gzip.compress(b"2\n") + gzip.compress(b"") + gzip.compress(b"3\n"), "gzip"
    ) == (b"a\n1\n2\n3\n")


@pytest.mark.parametrize(
    ("body", "encoding", "said"),
    [
        (gzip.compress(b"some", mtime=0) + b"junk", "gzip", "is not gzip"),
        (gzip.compress(b"some", mtime=0) + gzip.compress(b"more", mtime=0)[:-3], "gzip", "is cut off"),
        (zlib.compress(b"some") + b"junk", "deflate", "is not deflate"),
    ],
)
def test_what_is_behind_a_packed_body_is_not_left_out(body: bytes, encoding: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        unpacked(body, encoding)


def test_several_gzip_files_are_bounded_together() -> None:
    half = gzip.compress(bytes(16_000_001))
    with pytest.raises(PayloadTooLarge):
        unpacked(half + half, "gzip")


@pytest.mark.parametrize(
    ("headers", "key"), [({}, None), ({"lastmile-routing-key": ""}, None), ({"lastmile-routing-key": "u1"}, "u1")]
)
def test_an_empty_routing_key_is_none(headers: dict[str, str], key: str | None) -> None:
    request = Request("POST", "/", "", headers)
    assert request.routing_key() == key
    assert request.routing_key("an id") == (key or "an id")


@pytest.mark.parametrize("one", [b"[]", b"{}"])
def test_lists_that_were_packed_into_few_bytes_are_counted_before_memory_is_taken_for_them(one: bytes) -> None:
    """Two bytes of JSON become an object of 56 and a pointer to it."""
    body = b"[" + b",".join([one] * 2_100_000) + b"]"
    tracemalloc.start()
    with pytest.raises(PayloadTooLarge, match="the body has more than 2,000,000 lists and objects"):
        parse_json(body, "the body")
    assert tracemalloc.get_traced_memory()[1] < 2 * len(body)
    tracemalloc.stop()
    assert parse_json(b"[" + b" " * 7_000_000 + b"[1]]", "the body") == [[1]]
