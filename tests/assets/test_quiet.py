"""Importing ONNX Runtime and running a model leaves no trace.

Without ORT_DISABLE_TELEMETRY, ONNX Runtime 1.31 fails these: on import it starts a thread, and it writes a device id
and a database into $HOME/.cache/Microsoft and a session file into $TMPDIR. Functions get the variable from infra;
the library sets it too, for whoever forgot.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.assets.conftest import Lambda

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

FORGOTTEN = """
import os
del os.environ["ORT_DISABLE_TELEMETRY"]
"""

RUN = """
import json, os, pathlib
from lastmile.model import OnnxModel
import numpy
os.chdir(os.environ["HOME"])
model = OnnxModel.open(pathlib.Path(sys.argv[1]), threads=1)
answer = model.run(None, {"x": numpy.ones((1, 3), numpy.float32)})
"""

REPORT = """
links = [fd for fd in pathlib.Path("/proc/self/fd").iterdir() if fd.is_symlink()]
print(json.dumps({
    "answer": answer[0].tolist(),
    "threads": len(os.listdir("/proc/self/task")),
    "sockets": [target for target in map(os.readlink, links) if target.startswith("socket:")],
}))
"""

MISCHIEF = """
import socket, tempfile, threading, time
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
connection = socket.socket()
tempfile.NamedTemporaryFile(delete=False)
"""


@dataclass(frozen=True)
class Trace:
    answer: Any
    threads: int
    sockets: list[str]
    files: list[str]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """y = x · ones(3, 2)"""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])],
        [numpy_helper.from_array(np.ones((3, 2), np.float32), "w")],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def _trace(function: Lambda, script: str, model: Path) -> Trace:
    home = model.parent / "home"
    (home / "tmp").mkdir(parents=True)
    home.chmod(0o555)  # root writes there all the same, which is why the files are counted too
    environment = {"HOME": str(home), "TMPDIR": str(home / "tmp")}
    answer = function.answer(script, str(model), environment=environment)
    files = [str(path.relative_to(home)) for path in home.rglob("*") if not path.is_dir()]
    return Trace(**answer, files=files)


@pytest.mark.parametrize("before", ["", FORGOTTEN], ids=["as in Lambda", "variable forgotten"])
def test_running_a_model_writes_no_file_and_starts_no_thread(
    in_lambda: Callable[[str], Lambda], model: Path, before: str
) -> None:
    trace = _trace(in_lambda("inference"), before + RUN + REPORT, model)
    assert trace == Trace(answer=[[3.0, 3.0]], threads=1, sockets=[], files=[])


def test_a_file_a_thread_and_a_socket_would_be_seen(in_lambda: Callable[[str], Lambda], model: Path) -> None:
    trace = _trace(in_lambda("inference"), RUN + MISCHIEF + REPORT, model)
    assert (trace.threads, len(trace.sockets), len(trace.files)) == (2, 1, 1)
