import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lastmile.binary import array_from_binary, array_to_binary
from lastmile.errors import InvalidInput
from lastmile.tensors import DATATYPES


@pytest.mark.parametrize("name", [name for name in DATATYPES if name != "BYTES"])
@given(data=st.data())
def test_binary_data_returns_every_bit(name: str, data: st.DataObject) -> None:
    array = data.draw(hnp.arrays(DATATYPES[name].dtype, hnp.array_shapes(min_side=0, max_dims=4, max_side=5)))
    again = array_from_binary(array_to_binary(array), DATATYPES[name], array.shape, "x")
    assert again.dtype == array.dtype
    assert again.shape == array.shape
    assert again.tobytes() == array.tobytes()


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_survive_binary(texts: list[str]) -> None:
    array = np.array(texts, dtype=object)
    again = array_from_binary(array_to_binary(array), DATATYPES["BYTES"], array.shape, "x")
    assert again.tolist() == texts


@given(st.lists(st.binary()))
def test_bytes_that_are_no_text_survive_binary(values: list[bytes]) -> None:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    wire = array_to_binary(array)
    assert array_to_binary(array_from_binary(wire, DATATYPES["BYTES"], array.shape, "x")) == wire


def test_bytes_elements_have_a_little_endian_length_before_them() -> None:
    assert array_to_binary(np.array(["é", ""], dtype=object)) == b"\x02\x00\x00\x00\xc3\xa9\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("data", "datatype", "shape", "said"),
    [
        (b"\x00" * 7, "FP32", [2], "needs 8 bytes, binary data has 7"),
        (b"\x02", "BOOL", [1], "neither 0 nor 1"),
        (b"\x01\x00", "BYTES", [1], "need 4 bytes for their lengths alone, binary data has 2"),
        (b"\x02\x00\x00\x00abcd", "BYTES", [2], "ends inside the length of element 1"),
        (b"\x05\x00\x00\x00ab", "BYTES", [1], "says 5 bytes, 2 are left"),
        (b"\x00\x00\x00\x00x", "BYTES", [1], "1 bytes of binary data are left over"),
    ],
)
def test_truncated_binary_data_is_refused(data: bytes, datatype: str, shape: list[int], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        array_from_binary(data, DATATYPES[datatype], shape, "x")


@pytest.mark.parametrize("shape", [[10**7], [10**12, 1], [2**62, 2**62, 2**62]])
@pytest.mark.parametrize("name", DATATYPES)
def test_a_claimed_size_allocates_nothing(name: str, shape: list[int]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput, match="^x: .* bytes.*, binary data has 5"):
            array_from_binary(b"\x01\x00\x00\x00a", DATATYPES[name], shape, "x")
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
