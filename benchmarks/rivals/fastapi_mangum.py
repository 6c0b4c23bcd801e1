"""FastAPI and Mangum around ONNX Runtime, as tutorials write it: models of pydantic in and out, all at module level."""

import os

import numpy as np
import onnxruntime as ort
from fastapi import FastAPI
from mangum import Mangum
from pydantic import BaseModel

session = ort.InferenceSession(os.environ["MODEL_PATH"])
app = FastAPI()


class InputTensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class OutputTensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class InferenceRequest(BaseModel):
    inputs: list[InputTensor]


class InferenceResponse(BaseModel):
    model_name: str
    outputs: list[OutputTensor]


def answer(model: str, request: InferenceRequest) -> InferenceResponse:
    feeds = {tensor.name: np.array(tensor.data, np.float32).reshape(tensor.shape) for tensor in request.inputs}
    label, probabilities = session.run(None, feeds)
    return InferenceResponse(
        model_name=model,
        outputs=[
            OutputTensor(name="label", shape=list(label.shape), datatype="INT64", data=label.tolist()),
            OutputTensor(
                name="probabilities",
                shape=list(probabilities.shape),
                datatype="FP32",
                data=probabilities.reshape(-1).tolist(),
            ),
        ],
    )


@app.post("/v2/models/{model}/infer")
def infer(model: str, request: InferenceRequest) -> InferenceResponse:
    return answer(model, request)


@app.post("/async/v2/models/{model}/infer")
async def infer_async(model: str, request: InferenceRequest) -> InferenceResponse:
    return answer(model, request)


handler = Mangum(app, lifespan="off")
