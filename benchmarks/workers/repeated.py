"""Runs a model again and again in a process of its own: `repeated.py <file> <threads> <rows>`.

Threads are a number, `default` (ONNX Runtime's own), or `<MB>MB` for Lastmile's rule at that size. For each line with a
number of seconds on standard input it runs for so long, and answers with the microseconds that a run took on average.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime as ort

from lastmile.model import OnnxModel, threads_for

WARM_RUNS = 3


def opened(path: Path, threads: str) -> Callable[[dict[str, object]], object]:
    if threads.endswith("MB"):
        threads_of_ours = threads_for(int(threads.removesuffix("MB")))
        model = OnnxModel.open(path.read_bytes(), threads=threads_of_ours, spinning=True)
        return lambda feeds: model.run(None, feeds)  # type: ignore[arg-type]
    options = ort.SessionOptions()
    if threads != "default":
        options.intra_op_num_threads = int(threads)
        options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda feeds: session.run(None, feeds)


def main(path: Path, threads: str, rows: int) -> None:
    run = opened(path, threads)
    entry = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).get_inputs()[0]
    values = np.random.default_rng(0).random((rows, entry.shape[1]), dtype=np.float32)
    feeds: dict[str, object] = {entry.name: values}
    for _ in range(WARM_RUNS):
        run(feeds)
    print("ready", flush=True)
    for line in sys.stdin:
        seconds, runs = float(line), 0
        start = now = time.perf_counter()
        while now - start < seconds:
            run(feeds)
            runs += 1
            now = time.perf_counter()
        print((now - start) / runs * 1e6, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
