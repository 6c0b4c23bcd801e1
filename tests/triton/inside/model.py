"""What Triton's Python backend runs instead of its ONNX Runtime backend: the same graph, with the same library.

Tensors come and go as the configuration says, so that a batch of single values arrives here without its extra axis.
"""

from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton

TEXT = np.dtype(object)


class TritonPythonModel:
    def initialize(self, args):
        file = Path(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        feeds = {tensor.name(): as_graph(tensor.as_numpy()) for tensor in request.inputs()}
        names = list(request.requested_output_names())
        arrays = self.session.run(names, feeds)
        return triton.InferenceResponse([triton.Tensor(*output) for output in zip(names, arrays, strict=True)])


def as_graph(array):
    """Text is bytes in Triton."""
    return np.vectorize(bytes.decode, otypes=[TEXT])(array) if array.dtype == TEXT else array
