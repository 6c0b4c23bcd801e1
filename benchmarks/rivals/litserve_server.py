"""LitServe as its documentation has it: an API of four verbs, one worker on the processor."""

import os
from typing import Any

import litserve
import numpy as np
import onnxruntime as ort


class Cancer(litserve.LitAPI):
    def setup(self, device: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

    def decode_request(self, request: dict[str, Any], **kwargs: Any) -> Any:
        return np.array(request["rows"], dtype=np.float32)

    def predict(self, x: Any, **kwargs: Any) -> Any:
        return self.session.run(["label", "probabilities"], {"features": x})

    def encode_response(self, output: Any, **kwargs: Any) -> dict[str, Any]:
        label, probabilities = output
        return {"label": label.tolist(), "probabilities": probabilities.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Cancer(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False, log_level="warning")
