"""Tensors as binary data, as the Open Inference Protocol's binary tensor data extension has them: little-endian,
row-major, a BOOL one byte, and a 4-byte length before each element of BYTES."""

import math
from collections.abc import Sequence

import numpy as np

from lastmile.errors import InvalidInput
from lastmile.tensors import Array, Datatype


def array_from_binary(data: bytes | memoryview, datatype: Datatype, shape: Sequence[int], name: str) -> Array:
    """Binary tensor data as an array; numeric arrays share the buffer and are read-only.

    BYTES elements become str where they are UTF-8, as ONNX strings are, and stay bytes where not.
    """
    count = math.prod(shape)
    if datatype.name == "BYTES":
        return _strings_from_binary(memoryview(data), count, name).reshape(shape)
    if len(data) != count * datatype.dtype.itemsize:
        raise InvalidInput(
            f"{name}: shape {list(shape)} of {datatype.name} needs {count * datatype.dtype.itemsize} bytes, "
            f"binary data has {len(data)}"
        )
    array = np.ndarray(shape, datatype.dtype, data)
    if datatype.name == "BOOL" and array.view(np.uint8).max(initial=0) > 1:
        raise InvalidInput(f"{name}: a BOOL element is neither 0 nor 1")
    return array


def array_to_binary(array: Array) -> bytes:
    """Row-major little-endian bytes, the inverse of `array_from_binary`."""
    if array.dtype.kind in "OUS":
        parts = []
        for element in array.reshape(-1).tolist():
            raw = element.encode() if isinstance(element, str) else element
            parts.append(len(raw).to_bytes(4, "little"))
            parts.append(raw)
        return b"".join(parts)
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return array.tobytes()


def _strings_from_binary(data: memoryview, count: int, name: str) -> Array:
    if count * 4 > len(data):  # before anything is allocated
        raise InvalidInput(
            f"{name}: {count} elements of BYTES need {count * 4} bytes for their lengths alone, "
            f"binary data has {len(data)}"
        )
    elements = np.empty(count, dtype=object)
    at, end = 0, len(data)
    for index in range(count):
        if at + 4 > end:
            raise InvalidInput(f"{name}: binary data ends inside the length of element {index}")
        length = int.from_bytes(data[at : at + 4], "little")
        at += 4
        if at + length > end:
            raise InvalidInput(f"{name}: element {index} says {length} bytes, {end - at} are left")
        raw = bytes(data[at : at + length])
        at += length
        try:
            elements[index] = raw.decode()
        except UnicodeDecodeError:
            elements[index] = raw
    if at != end:
        raise InvalidInput(f"{name}: {end - at} bytes of binary data are left over after {count} elements")
    return elements
