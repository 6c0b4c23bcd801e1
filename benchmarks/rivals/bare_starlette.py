"""The least that a server can do: parse, run, dump, in one Starlette route."""

import os

import numpy as np
import onnxruntime as ort
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])


async def infer(request: Request) -> Response:
    tensor = orjson.loads(await request.body())["inputs"][0]
    array = np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"])
    label, probabilities = session.run(["label", "probabilities"], {tensor["name"]: array})
    outputs = [{"name": "label", "data": label}, {"name": "probabilities", "data": probabilities}]
    answer = orjson.dumps({"outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(answer, media_type="application/json")


app = Starlette(routes=[Route("/infer", infer, methods=["POST"])])
