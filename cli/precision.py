"""A graph that calculates in half floats, for GPUs: its inputs and outputs stay as they are.

By ONNX Runtime's own converter. Operators that know no half floats keep single ones.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lastmile.errors import InvalidArtefact

if TYPE_CHECKING:
    from lastmile.tensors import Array

# Beside those that the converter itself knows of: texts come in, and floats out.
SINGLE_ONLY = ("TfIdfVectorizer", "StringNormalizer", "DynamicQuantizeLinear", "QuantizeLinear", "DequantizeLinear")


def half(model: bytes) -> bytes:
    """Raises InvalidArtefact where the graph has no such form."""
    import onnx
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    proto = onnx.ModelProto.FromString(model)
    try:
        converted = convert_float_to_float16(
            proto, keep_io_types=True, op_block_list=[*DEFAULT_OP_BLOCK_LIST, *SINGLE_ONLY]
        )
    except Exception as error:  # the converter raises whatever it stumbles over
        raise _unfit(error) from error
    return bytes(converted.SerializeToString(deterministic=True))


def answers(model: bytes, names: Sequence[str], feeds: Mapping[str, "Array"]) -> list["Array"]:
    """What the graph, still in single floats, answers where every weight and every step is rounded to half ones.

    A processor without half floats would calculate the converted graph in single ones, and ONNX Runtime leave out the
    rounding between them: it would not differ from the original but in its weights. Sums are single here, as those of
    a GPU's tensor cores are.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # or the rounding goes
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(_rounding(model), options, providers=["CPUExecutionProvider"])
        return list(session.run(list(names), dict(feeds)))
    except Exception as error:  # ONNX Runtime's own have no common ancestor
        raise _unfit(error) from error


def _rounding(model: bytes) -> bytes:
    """The graph with its float weights rounded, and after every step that half floats know, there and back again."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST

    proto = onnx.shape_inference.infer_shapes(onnx.ModelProto.FromString(model))
    typed = [*proto.graph.value_info, *proto.graph.output]
    floats = {value.name for value in typed if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    for tensor in proto.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            with np.errstate(over="ignore"):
                rounded = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
    nodes = []
    for node in proto.graph.node:
        nodes.append(node)
        if node.op_type in (*DEFAULT_OP_BLOCK_LIST, *SINGLE_ONLY):
            continue
        for place, name in enumerate(node.output):
            if name in floats:
                node.output[place] = f"{name}/exact"
                nodes.append(helper.make_node("Cast", [f"{name}/exact"], [f"{name}/half"], to=TensorProto.FLOAT16))
                nodes.append(helper.make_node("Cast", [f"{name}/half"], [name], to=TensorProto.FLOAT))
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del proto.graph.node[:]
    proto.graph.node.extend(kept)
    return bytes(proto.SerializeToString())


def _unfit(error: Exception) -> InvalidArtefact:
    reason = str(error).strip().partition("\n")[0][:300]
    return InvalidArtefact(f"the heavy model cannot calculate in half floats: {reason}")
