"""A graph behind a function that is bound to Triton through pytriton: <model.onnx> <name> <most rows> <port of
SageMaker's paths> <port of the protocol's> <workspace>. It ends with SIGINT.
"""

import sys

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

DTYPES = {
    "tensor(bool)": np.bool_,
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(string)": np.bytes_,
    **{f"tensor({sign}int{bits})": np.dtype(f"{sign}int{bits}").type for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


def described(node):
    return Tensor(name=node.name, dtype=DTYPES[node.type], shape=tuple(node.shape[1:]) or (1,))


def main(model, name, most, port, http_port, workspace):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    inputs, outputs = session.get_inputs(), session.get_outputs()

    @batch
    def infer(**feeds):
        for node in inputs:
            array = feeds[node.name]
            if array.dtype.kind in "OS":
                array = np.vectorize(bytes.decode, otypes=[object])(array)
            feeds[node.name] = array.reshape(-1) if len(node.shape) == 1 else array
        arrays = dict(zip([node.name for node in outputs], session.run(None, feeds), strict=True))
        for found, array in arrays.items():
            if array.dtype.kind == "O":
                array = np.vectorize(str.encode, otypes=[object])(array)
            arrays[found] = array[:, None] if array.ndim == 1 else array
        return arrays

    config = TritonConfig(
        allow_sagemaker=True,
        sagemaker_port=int(port),
        http_address="127.0.0.1",
        http_port=int(http_port),
        allow_grpc=False,
        allow_metrics=False,
    )
    with Triton(config=config, workspace=workspace) as triton:
        triton.bind(
            name,
            infer,
            [described(node) for node in inputs],
            [described(node) for node in outputs],
            config=ModelConfig(max_batch_size=int(most)),
        )
        triton.serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
