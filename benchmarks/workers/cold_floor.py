"""The least that any cold start with ONNX Runtime does: import, load, run. `cold_floor.py PATHS EVENT MODEL`."""

import sys

sys.path[:0] = sys.argv[1].split(":")

import json
import time
from pathlib import Path

tensor = json.loads(json.loads(Path(sys.argv[2]).read_text())["body"])["inputs"][0]
started = time.monotonic_ns()

import numpy as np
import onnxruntime as ort

imported = time.monotonic_ns()
options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(sys.argv[3], options, providers=["CPUExecutionProvider"])
rows = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
_, probabilities = session.run(None, {tensor["name"]: rows})
answered = time.monotonic_ns()

print(json.dumps({"started": started, "imported": imported, "answered": answered, "answer": probabilities.tolist()}))
