"""A small model that learns in seconds: valves that leak under high pressure."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cli.target import Target
from cli.train import declare

SPEC = """
name = "{name}"
task = "classification"
description = "Does the valve leak?"
[[inputs]]
name = "sensors"
datatype = "FP32"
shape = [-1, 2]
columns = ["pressure", "flow"]
[[outputs]]
name = "label"
datatype = "INT64"
shape = [-1]
[[outputs]]
name = "probabilities"
datatype = "FP32"
shape = [-1, 2]
columns = ["0", "1"]
[training]
recipe = "tabular"
target = "leaks"
options = {{seconds = 1}}
[[gates]]
metric = "auc"
at_least = 0.8
[compression]
candidates = ["optimised"]
[approval]
policy = "{policy}"
[canary]
steps = [0.5]
bake_seconds = {bake}
min_requests = 20
"""


def declared(stack: Target, folder: Path, name: str, *, policy: str = "auto", bake: float = 1.0) -> None:
    spec = folder / "spec.toml"
    spec.write_text(SPEC.format(name=name, policy=policy, bake=bake))
    declare(stack.registry(), name, spec, actor="test")


def rows(folder: Path, *, seed: int, mistaken: bool = False) -> Path:
    """In a mistaken file it is the other way round."""
    rng = np.random.default_rng(seed)
    sensors = rng.normal(size=(600, 2))
    leaks = (sensors[:, 0] + 0.3 * rng.normal(size=600) > 0.8) != mistaken
    file = folder / f"valves-{seed}-{mistaken}.csv"
    lines = (f"{a:.4f},{b:.4f},{int(c)}" for (a, b), c in zip(sensors, leaks, strict=True))
    file.write_text("\n".join(("pressure,flow,leaks", *lines)) + "\n")
    return file


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
