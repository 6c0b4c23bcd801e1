import numpy as np
import pytest

from functions.retraining import ubjson
from lastmile.errors import InvalidInput


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"{}", {}),
        (b"[]", []),
        (b"{i\x01aZi\x01bT}", {"a": None, "b": True}),
        (b"[i\xffU\xffI\x01\x00l\x00\x01\x00\x00]", [-1, 255, 256, 65536]),
        (b"Si\x02hi", "hi"),
        (b"[d\x3f\x80\x00\x00D\x3f\xf0\x00\x00\x00\x00\x00\x00]", [1.0, 1.0]),
        (b"[#i\x02FF", [False, False]),
        (b"NNCx", "x"),
        (b"{#i\x01i\x01ai\x07", {"a": 7}),
    ],
)
def test_values(data: bytes, value: object) -> None:
    assert ubjson.read(data) == value


def test_a_list_of_numbers_of_one_type_is_an_array() -> None:
    found = ubjson.read(b"[$d#i\x02\x3f\x80\x00\x00\xbf\x80\x00\x00")
    assert isinstance(found, np.ndarray)
    assert found.tolist() == [1.0, -1.0]


@pytest.mark.parametrize("data", [b"", b"{", b"[i", b"[$d#l\x7f\xff\xff\xff", b"q", b"{}{}", b"[" * 100, b"Si\xffx"])
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="no UBJSON"):
        ubjson.read(data)
