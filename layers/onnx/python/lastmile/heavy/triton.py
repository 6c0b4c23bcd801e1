"""What Triton has to know of a model: its `config.pbtxt`, from the signature and the spec's `[heavy]`.

https://github.com/triton-inference-server/server/blob/main/docs/user_guide/model_configuration.md and, for the
accelerators, https://github.com/triton-inference-server/onnxruntime_backend
"""

from collections.abc import Iterator, Sequence

from lastmile.policies import Heavy
from lastmile.tensors import Signature, TensorSpec

VERSION = 1  # of the model in its repository; which version of ours it is, the registry says
FREE_LENGTH = 16  # of an axis of any length, in the rows of the warm-up
TENSORRT_BYTES = 1 << 30  # that TensorRT may use while it runs

# https://github.com/triton-inference-server/common/blob/main/protobuf/model_config.proto
TYPES = {"BYTES": "TYPE_STRING", **{f"FP{bits}": f"TYPE_FP{bits}" for bits in (16, 32, 64)}, "BOOL": "TYPE_BOOL"} | {
    f"{sign}INT{bits}": f"TYPE_{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)
}


def config(name: str, signature: Signature, heavy: Heavy, *, gpu: bool = True, warm: bool = True) -> str:
    """Every tensor's first axis is that of the rows. `warm` asks for rows of zeros before the first request."""
    inputs, outputs = signature.inputs, signature.outputs
    lines = [
        f'name: "{name}"',
        'backend: "onnxruntime"',
        f"max_batch_size: {heavy.max_batch}",
        *(line for tensor in inputs for line in _tensor("input", tensor)),
        *(line for tensor in outputs for line in _tensor("output", tensor)),
        "instance_group {",
        "  count: 1",
        f"  kind: {'KIND_GPU' if gpu else 'KIND_CPU'}",
        "}",
        "dynamic_batching {",
        f"  max_queue_delay_microseconds: {heavy.batch_delay_us}",
        "}",
        *(_tensorrt(heavy) if gpu and heavy.tensorrt else ()),
        *((line for rows in dict.fromkeys((1, heavy.max_batch)) for line in _warmup(inputs, rows)) if warm else ()),
    ]
    return "\n".join(lines) + "\n"


def row_shape(tensor: TensorSpec) -> tuple[int, ...]:
    """The shape of one row, as requests have it: Triton takes no row of shape [], so there it is [1]."""
    return tensor.shape[1:] or (1,)


def _tensor(kind: str, tensor: TensorSpec) -> Iterator[str]:
    yield f"{kind} {{"
    yield f'  name: "{tensor.name}"'
    yield f"  data_type: {TYPES[tensor.datatype]}"
    yield f"  dims: {_dims(row_shape(tensor))}"
    if len(tensor.shape) == 1:
        yield "  reshape { shape: [ ] }"  # for the graph it is []
    yield "}"


def _tensorrt(heavy: Heavy) -> Iterator[str]:
    """Before CUDA, which takes what TensorRT cannot."""
    yield "optimization {"
    yield "  execution_accelerators {"
    yield "    gpu_execution_accelerator {"
    yield '      name: "tensorrt"'
    yield f'      parameters {{ key: "precision_mode" value: "{heavy.precision.upper()}" }}'
    yield f'      parameters {{ key: "max_workspace_size_bytes" value: "{TENSORRT_BYTES}" }}'
    yield "    }"
    yield "  }"
    yield "}"


def _warmup(inputs: Sequence[TensorSpec], rows: int) -> Iterator[str]:
    yield "model_warmup {"
    yield f'  name: "{rows} of zeros"'
    yield f"  batch_size: {rows}"
    for tensor in inputs:
        shape = [FREE_LENGTH if length == -1 else length for length in row_shape(tensor)]
        yield "  inputs {"
        yield f'    key: "{tensor.name}"'
        yield f"    value {{ data_type: {TYPES[tensor.datatype]} dims: {_dims(shape)} zero_data: true }}"
        yield "  }"
    yield "}"


def _dims(shape: Sequence[int]) -> str:
    return f"[ {', '.join(map(str, shape))} ]"
