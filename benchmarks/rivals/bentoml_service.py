"""BentoML as its documentation has it: a service class with one API method over numpy arrays."""

import os

import bentoml
import numpy as np
import onnxruntime as ort


@bentoml.service(workers=1)
class Cancer:
    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

    @bentoml.api
    def infer(self, rows: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        feeds = {"features": rows.astype(np.float32)}
        return self.session.run(["probabilities"], feeds)[0]  # type: ignore[no-any-return]
