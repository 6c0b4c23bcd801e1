"""What several rooms of tests share."""

import os
from pathlib import Path

import pytest

# Before any test imports onnxruntime: it reads this once, and otherwise reports home.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from cli.local import local_deployment
from cli.target import CHECKOUT
from layers.build import OUT, ensure, every_target


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of built assets, up to date for both architectures."""
    ensure(every_target())
    return OUT


@pytest.fixture(scope="session")
def assembly(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stacks of stage dev for this machine's architecture, synthesised once by the CDK command line."""
    folder = tmp_path_factory.mktemp("assembly")
    deployment = local_deployment(CHECKOUT, "dev", environ=os.environ, log=folder / "synth.log")
    deployment.synthesise(folder / "cdk.out", lambda _: None)
    return folder / "cdk.out"
