"""A small model that learns in seconds: valves that leak under high pressure."""

from pathlib import Path

import numpy as np

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
recipe = "{recipe}"
target = "leaks"
[compression]
candidates = ["optimised"]
"""


def spec(name: str = "valves", *, recipe: str = "tabular") -> str:
    return SPEC.format(name=name, recipe=recipe)


def table(file: Path, *, seed: int, mistaken: bool = False) -> Path:
    """Rows to learn from; in a mistaken file it is the other way round."""
    rng = np.random.default_rng(seed)
    sensors = rng.normal(size=(600, 2))
    leaks = (sensors[:, 0] + 0.3 * rng.normal(size=600) > 0.8) != mistaken
    lines = (f"{a:.4f},{b:.4f},{int(c)}" for (a, b), c in zip(sensors, leaks, strict=True))
    file.write_text("\n".join(("pressure,flow,leaks", *lines)) + "\n")
    return file
