"""How a graph becomes the heavy side of a version: one that Triton's container loads, with what Triton has to know.

Needs `onnx`, which only those have who push or train.
"""

import numpy as np

from lastmile.errors import InvalidArtefact, InvalidInput, ModelFailed
from lastmile.heavy.packaging import Repository, packed
from lastmile.heavy.triton import FREE_LENGTH, config
from lastmile.model import OnnxModel
from lastmile.spec import ModelSpec
from lastmile.tensors import DATATYPES, Array, Signature, TensorSpec

# What ONNX Runtime 1.19.2 loads, which Triton 24.09 holds: https://onnxruntime.ai/docs/reference/compatibility.html
NEWEST_IR = 10
NEWEST_OPSETS = {"": 21, "ai.onnx.ml": 5}


def package(onnx: bytes, spec: ModelSpec, model: OnnxModel) -> bytes:
    """`model` is this graph, or what it was before its numbers became half ones."""
    assert spec.heavy is not None
    signature = spec.signature(model.signature)
    text = config(spec.name, signature, spec.heavy, warm=runs_on_zeros(model, signature))
    return packed(Repository(spec.name, text, onnx))


def loadable(data: bytes, name: str) -> bytes:
    """The graph as Triton's container takes it: where its operators are old enough, the file format can be too.

    Raises InvalidArtefact, which calls the graph by this name.
    """
    import onnx

    proto = onnx.ModelProto.FromString(data)
    for entry in proto.opset_import:
        newest = NEWEST_OPSETS.get(entry.domain)
        if newest is not None and entry.version > newest:
            raise InvalidArtefact(
                f"{name} is of opset {entry.version} of {entry.domain or 'ai.onnx'}; Triton's container knows up to "
                f"{newest}"
            )
    if proto.ir_version <= NEWEST_IR:
        return data
    proto.ir_version = NEWEST_IR
    return bytes(proto.SerializeToString(deterministic=True))


def runs_on_zeros(model: OnnxModel, signature: Signature) -> bool:
    """Whether a server may warm it up with them."""
    try:
        model.try_run(None, {spec.name: zeros(spec, 1) for spec in signature.inputs})
    except (ModelFailed, InvalidInput):
        return False
    return True


def zeros(spec: TensorSpec, rows: int) -> Array:
    """Zeros or empty texts."""
    shape = [FREE_LENGTH if length == -1 else length for length in spec.shape]
    if spec.shape[:1] == (-1,):
        shape[0] = rows
    if spec.datatype == "BYTES":
        return np.full(shape, "", dtype=object)
    return np.zeros(shape, DATATYPES[spec.datatype].dtype)
