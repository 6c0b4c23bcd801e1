"""What a cold start imports, up to the first answer: every module more is time that somebody waits."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.inference.doors import Sent, event_of, fill, open_serving
from tests.unit.inference.test_doors import INFER, post, tensor, v2

THIRD_PARTY = {"functions", "lastmile", "numpy", "obstore", "onnxruntime", "orjson", "pybase64", "snapshot_restore_py"}
# Of the standard library, what brings in much more than itself (json comes with orjson, whose errors are its).
HEAVY = {"asyncio", "concurrent", "email", "html", "http", "logging", "multiprocessing", "socket", "ssl"}
HEAVY |= {"bz2", "lzma", "shutil", "sqlite3", "subprocess", "tempfile", "unittest", "xml", "zipfile"}
OUR_MODULES = {"functions.inference.cors", "functions.inference.door", "functions.inference.serving"}

# `-X importtime` and `sys.modules` would count what the interpreter itself, a .pth file or this script brought along.
SCRIPT = """
import sys
event = eval(sys.stdin.read())
before = set(sys.modules)
from functions.inference.handler import handler
answers = [handler(event, None)["statusCode"]]
hot = sorted(set(sys.modules) - before)
if sys.argv[1:]:
    answers.append(handler(eval(sys.argv[1]), None)["statusCode"])
rest = sorted(set(sys.modules) - before - set(hot))
import json
print(json.dumps({"answers": answers, "hot": hot, "rest": rest}))
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("store")
    fill(open_serving({"LASTMILE_ARTIFACTS": folder.as_uri()}))
    return folder.as_uri()


def cold_start(store: str, first: Sent, *then: Sent) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *(repr(event_of(sent)) for sent in then)],
        input=repr(event_of(first)),
        env={
            "LASTMILE_ARTIFACTS": store,
            "LASTMILE_CAPTURE": "off",
            "ORT_DISABLE_TELEMETRY": "1",
            "PYTHONWARNINGS": "error",
        },
        cwd=Path.cwd(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def packages(modules: list[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize(
    "sent",
    [
        post(INFER, v2(tensor())),
        post("/v1/models/digits:predict", {"instances": [[0] * 64]}),
        post("/predictions/digits", [0] * 64),
        Sent("POST", "/invocations", b'{"instances": [' + str([0] * 64).encode() + b"]}", query="model=digits"),
        Sent("GET", "/v2/health/ready"),
    ],
    ids=["v2", "tfs", "torch", "mlflow", "ready"],
)
def test_a_prediction_imports_only_what_it_needs(store: str, sent: Sent) -> None:
    started = cold_start(store, sent)
    assert started["answers"] == [200]
    imported = packages(started["hot"])
    assert imported - sys.stdlib_module_names == THIRD_PARTY
    assert imported & HEAVY == set()
    ours = {name for name in started["hot"] if name.startswith("functions.inference.")}
    assert ours == OUR_MODULES | {"functions.inference.handler"}


def test_only_who_asks_for_a_decision_loads_the_policies(store: str) -> None:
    decide = post("/v1/models/digits:decide", {"instances": [[0] * 64]})
    started = cold_start(store, post(INFER, v2(tensor())), decide)
    assert started["answers"] == [200, 200]
    late = {"lastmile.decision", "lastmile.protocols.deciding"}
    assert late & set(started["hot"]) == set()
    assert late <= set(started["rest"])
    assert packages(started["rest"]) - sys.stdlib_module_names == {"lastmile"}


def test_another_route_brings_the_app_and_only_then(store: str) -> None:
    started = cold_start(store, post(INFER, v2(tensor())), Sent("GET", "/health"))
    assert started["answers"] == [200, 200]
    assert {"fastapi", "mangum", "starlette", "pydantic"} <= packages(started["rest"])
    # What only the server or the registry's other users need stays out of the function altogether.
    never = {"aws_lambda_powertools", "boto3", "onnx", "prometheus_client", "uvicorn"}
    assert packages(started["rest"]) & never == set()
