"""The servers that are compared: ours, a bare Starlette route, and the rivals, each served in its own usual way.

All run the same file in ONNX Runtime with one thread, in one worker. uvloop and httptools are given to all of them, as
`pip install` gives them to some.
"""

import sys
from collections.abc import Callable
from importlib.metadata import version

from benchmarks.environments import Environment, environment
from benchmarks.model import NAME, Trained
from benchmarks.serving import RIVALS, Server, nested, tensor

OURS, UNCAPTURED, NEW_HEADS = "Lastmile", "Lastmile, capture off", "Lastmile, no head twice"
MLSERVER, BENTOML, LITSERVE, STARLETTE = "MLServer", "BentoML", "LitServe", "bare Starlette"
SHARED = ("numpy", "onnxruntime", "uvloop", "httptools")


def lastmile(model: Trained, *, capture: bool) -> Server:
    return Server(
        name=OURS if capture else UNCAPTURED,
        command=[sys.executable, "-m", "functions.inference.server"],
        path=f"/v2/models/{NAME}/infer",
        body=tensor,
        place=("outputs", 1, "data"),
        environ={
            "LASTMILE_ARTIFACTS": model.uri,
            "LASTMILE_CAPTURE": "on" if capture else "off",
            "LASTMILE_PORT": "{port}",
        },
    )


def starlette() -> Server:
    """On the server that ours runs on, with the same event loop and parser."""
    app = ["--app-dir", str(RIVALS), "bare_starlette:app", "--port", "{port}"]
    quiet = ["--log-level", "warning", "--no-access-log", "--no-server-header"]
    loop = ["--loop", "uvloop", "--http", "httptools"]
    return Server(
        name=STARLETTE,
        command=[sys.executable, "-m", "uvicorn", *app, *quiet, *loop],
        path="/infer",
        body=tensor,
        place=("outputs", 1, "data", 0),
    )


def mlserver() -> tuple[Server, Environment]:
    """Without its pool of inference processes: with one of them, its default, it gives a fraction of this."""
    installed = _installed("mlserver", "mlserver==1.7.1", python="3.12")  # 3.13 is not among its versions
    settings = {
        "MLSERVER_DEBUG": "false",
        "MLSERVER_PARALLEL_WORKERS": "0",
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": "{port}",
        "MLSERVER_GRPC_PORT": "0",
        "MLSERVER_METRICS_PORT": "0",
        "MLSERVER_MODEL_NAME": NAME,
        "MLSERVER_MODEL_IMPLEMENTATION": "mlserver_runtime.Cancer",
        "PYTHONPATH": str(RIVALS),
    }
    return Server(
        name=MLSERVER,
        command=[installed.folder / "bin/mlserver", "start", "."],
        path=f"/v2/models/{NAME}/infer",
        body=tensor,
        place=("outputs", 1, "data"),
        environ=settings,
    ), installed


def bentoml() -> tuple[Server, Environment]:
    installed = _installed("bentoml", "bentoml==1.4.39")
    address = ["--host", "127.0.0.1", "--port", "{port}"]
    return Server(
        name=BENTOML,
        command=[
            installed.python,
            "-m",
            "bentoml",
            "serve",
            "bentoml_service:Cancer",
            "--working-dir",
            RIVALS,
            *address,
        ],
        path="/infer",
        body=nested,
        place=(0,),
        environ={"BENTOML_DO_NOT_TRACK": "True", "PATH": f"{installed.folder}/bin:/usr/bin:/bin"},
    ), installed


def litserve() -> tuple[Server, Environment]:
    installed = _installed("litserve", "litserve==0.2.19")
    return Server(
        name=LITSERVE,
        command=[installed.python, RIVALS / "litserve_server.py"],
        path="/predict",
        body=nested,
        place=("probabilities", 0),
        environ={"PORT": "{port}"},
    ), installed


RIVAL_SERVERS: dict[str, Callable[[], tuple[Server, Environment]]] = {
    MLSERVER: mlserver,
    BENTOML: bentoml,
    LITSERVE: litserve,
}


def _installed(name: str, requirement: str, *, python: str = "3.13") -> Environment:
    return environment(name, [requirement, *(f"{name}=={version(name)}" for name in SHARED)], python=python)
