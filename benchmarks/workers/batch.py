"""One side of the batch benchmark in a process of its own: `python batch.py JSON`, one JSON line out."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

INPUT = "features"


def search(model: str, rows: str, sizes: list[int], threads: list[int]) -> dict[str, Any]:
    """The quickest batch size and thread number of a bare loop over some of the rows."""
    x = np.load(rows, mmap_mode="r")[:100_000].copy()
    found = {}
    for number in threads:
        session = opened(model, number)
        for size in sizes:
            loop(session, x[:size], size)
            found[size, number] = min(loop(session, x, size) for _ in range(3))
    size, number = min(found, key=lambda key: found[key])
    return {"size": size, "threads": number}


def bare(model: str, rows: str, size: int, threads: int) -> dict[str, Any]:
    """All rows, in memory before and answers left there: seconds of the calls alone."""
    x, session = np.load(rows), opened(model, threads)
    loop(session, x[:size], size)
    return {"seconds": loop(session, x, size), "peak": peak()}


def bare_file(model: str, rows: str, size: int, threads: int) -> dict[str, Any]:
    """The same from a Parquet file, read in pieces, which is quicker than at once: seconds of all."""
    import pyarrow.parquet as pq

    session = opened(model, threads)
    loop(session, np.zeros((size, 30), np.float32), size)
    started = time.perf_counter()
    for batch in pq.ParquetFile(rows).iter_batches(16_384):
        loop(session, np.column_stack([column.to_numpy() for column in batch.columns]), size)
    return {"seconds": time.perf_counter() - started, "peak": peak()}


def ours(registry: str, data: str, output: str) -> dict[str, Any]:
    """From an idle process to the whole output file: load the model, measure, read, predict, write, join."""
    from functions.batch.local import Job, run
    from lastmile.registry import Registry
    from lastmile.store import Store

    started = time.perf_counter()
    job = Job("cancer", Path(data), Path(output))
    state = run(job, Registry(Store.open(registry, environ={})), uri=registry, tell=lambda state: None)
    return {"seconds": time.perf_counter() - started, "rows": state.rows, "size": state.batch_rows, "peak": peak()}


def opened(model: str, threads: int) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def loop(session: Any, x: Any, size: int) -> float:
    started = time.perf_counter()
    answers = [session.run(None, {INPUT: x[at : at + size]}) for at in range(0, len(x), size)]
    assert answers
    return time.perf_counter() - started


def peak() -> float:
    """Bytes of memory that the process has had at most. (What `getrusage` says begins with what the parent had.)"""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return float(status["VmHWM"].split()[0]) * 1024


if __name__ == "__main__":
    sides: tuple[Callable[..., dict[str, Any]], ...] = (search, bare, bare_file, ours)
    asked = json.loads(sys.argv[1])
    print(json.dumps({side.__name__: side for side in sides}[asked.pop("what")](**asked)))
