import tracemalloc

import pytest

from lastmile.errors import InvalidInput
from lastmile.protocols.messages import parse_json


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
