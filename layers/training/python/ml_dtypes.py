"""Stands in for the package of this name, of which onnx wants the names of twelve small number types.

The package has 25 MB, most of what Lambda leaves to a layer beside scikit-learn. Here each type is a structure of the
right size, told apart by its field: tensors of it can be carried, not calculated with.
"""

from typing import Any

import numpy as np


def _carried(name: str, size: int = 1) -> np.dtype[Any]:
    return np.dtype([(name, f"<u{size}")])


bfloat16 = _carried("bfloat16", 2)
float4_e2m1fn = _carried("float4_e2m1fn")
float6_e2m3fn = _carried("float6_e2m3fn")
float6_e3m2fn = _carried("float6_e3m2fn")
float8_e4m3fn = _carried("float8_e4m3fn")
float8_e4m3fnuz = _carried("float8_e4m3fnuz")
float8_e5m2 = _carried("float8_e5m2")
float8_e5m2fnuz = _carried("float8_e5m2fnuz")
float8_e8m0fnu = _carried("float8_e8m0fnu")
int2 = _carried("int2")
int4 = _carried("int4")
uint2 = _carried("uint2")
uint4 = _carried("uint4")
