import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from layers.assets import ASSETS
from tests.assets.conftest import Lambda

FUNCTIONS = [name for name, asset in ASSETS.items() if asset.layers]

IMPORT_EVERYTHING = """
import importlib, json, pathlib

def modules(package):
    for folder in map(pathlib.Path, sys.path):
        for file in sorted((folder / package.replace(".", "/")).rglob("*.py")):
            path = file.relative_to(folder).with_suffix("")
            yield ".".join(path.parts[:-1] if path.name == "__init__" else path.parts)

names = [name for package in sys.argv[1:] for name in modules(package)]
for name in names:
    importlib.import_module(name)
files = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
print(json.dumps({"imported": names, "files": files}))
"""

# What a cold start must not wait for; the library imports pydantic only while it validates a document.
SLOW = {"aws_lambda_powertools", "boto3", "fastapi", "mangum", "onnx", "opentelemetry", "pydantic", "starlette"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_module_of_a_function_can_be_imported(in_lambda: Callable[[str], Lambda], name: str) -> None:
    function = in_lambda(name)
    answer = function.answer(IMPORT_EVERYTHING, f"functions.{name}", "lastmile")
    assert {f"functions.{name}", "lastmile", "lastmile.predictor"} <= set(answer["imported"])
    seen = (*function.path(), sysconfig.get_path("stdlib"))
    assert not [file for file in answer["files"].values() if file and not file.startswith(seen)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_without_its_layer_finds_no_numpy(in_lambda: Callable[[str], Lambda], name: str) -> None:
    done = in_lambda(name).run("import numpy", layers=False)
    assert "ModuleNotFoundError: No module named 'numpy'" in done.stderr


def test_the_library_imports_nothing_slow(in_lambda: Callable[[str], Lambda]) -> None:
    answer = in_lambda("onnx-layer").answer(IMPORT_EVERYTHING, "lastmile")
    assert "lastmile.predictor" in answer["imported"]
    assert not SLOW & set(answer["files"])


def test_leases_need_nothing_but_the_layer_and_lambdas_own_boto3(
    in_lambda: Callable[[str], Lambda], tmp_path: Path
) -> None:
    """Whose jmespath is left out here: the layer has one."""
    for name in ("boto3", "botocore", "dateutil", "s3transfer", "six.py", "urllib3"):
        (tmp_path / name).symlink_to(Path(sysconfig.get_path("purelib")) / name)
    script = f"""
import json
sys.path.append({str(tmp_path)!r})
from functions.chat.once import Once
once = Once("a client", "a table")
once.warm_up()
once.until(None)
print(json.dumps({{name: sys.modules[name].__file__ for name in ("jmespath", "aws_lambda_powertools", "boto3")}}))
"""
    chat = in_lambda("chat")
    files = chat.answer(script)
    _, layer = chat.path()
    assert all(files[name].startswith(layer) for name in ("jmespath", "aws_lambda_powertools"))
    assert files["boto3"].startswith(str(tmp_path))
