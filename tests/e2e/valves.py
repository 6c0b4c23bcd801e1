"""The valves of tests/valves.py in a deployment: declared, learnt, asked."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli.target import Target
from cli.train import declare
from tests import valves

QUICKLY = """
[training.options]
seconds = 1
[[gates]]
metric = "auc"
at_least = 0.8
[approval]
policy = "{policy}"
[canary]
steps = [0.5]
bake_seconds = {bake}
min_requests = 20
"""


def declared(stack: Target, folder: Path, name: str, *, policy: str = "auto", bake: float = 1.0) -> None:
    spec = folder / "spec.toml"
    spec.write_text(valves.spec(name) + QUICKLY.format(policy=policy, bake=bake))
    declare(stack.registry(), name, spec, actor="test")


def rows(folder: Path, *, seed: int, mistaken: bool = False) -> Path:
    return valves.table(folder / f"valves-{seed}-{mistaken}.csv", seed=seed, mistaken=mistaken)


def ask(stack: Target, token: str, model: str, key: str = "") -> Any:
    body = json.dumps({"instances": [[2.0, 0.0], [-2.0, 0.0]]}).encode()
    headers = {"content-type": "application/json", "lastmile-routing-key": key}
    return stack.call("POST", f"/v1/models/{model}:predict", body=body, headers=headers, token=token)


def until(true: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found
