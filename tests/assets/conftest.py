"""Runs code the way Lambda does: an interpreter that sees the standard library, one built asset and its layers."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from layers.assets import ASSETS

# What infra gives every function, and what Lambda itself sets.
ENVIRONMENT = {
    "LASTMILE_STAGE": "dev",
    "LASTMILE_ARTIFACTS": "memory://",
    "LASTMILE_DATA": "memory://",
    "LASTMILE_CHAT_SECRETS": "lastmile/dev/chat",
    "LASTMILE_CHAT_QUEUE": "https://sqs.eu-central-1.amazonaws.com/1/messages.fifo",
    "LASTMILE_OPERATIONS_QUEUE": "https://sqs.eu-central-1.amazonaws.com/1/operations.fifo",
    "LASTMILE_OPERATIONS_DEAD_LETTERS": "https://sqs.eu-central-1.amazonaws.com/1/operations-dead.fifo",
    "LASTMILE_CHAT_DEAD_LETTERS": "https://sqs.eu-central-1.amazonaws.com/1/dead.fifo",
    "LASTMILE_CHAT_TABLE": "records",
    "ORT_DISABLE_TELEMETRY": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "POWERTOOLS_SERVICE_NAME": "test",
    "AWS_REGION": "eu-central-1",
    "AWS_LAMBDA_FUNCTION_NAME": "lastmile-dev-test",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
}


@dataclass(frozen=True)
class Lambda:
    """Runs a script with the x86-64 asset `name` and its layers on the path, and nothing else."""

    assets: Path
    name: str

    def path(self, *, layers: bool = True) -> list[str]:
        asset = ASSETS[self.name]
        searched = [asset, *(ASSETS[layer] for layer in asset.layers if layers)]
        return [str((self.assets / f"{part.name}-x86_64" / part.packages).resolve()) for part in searched]

    def run(
        self, script: str, *arguments: str, layers: bool = True, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        prelude = f"import sys; sys.path[:0] = {self.path(layers=layers)!r}\n"
        return subprocess.run(
            [sys.executable, "-I", "-S", "-B", "-W", "error", "-c", prelude + script, *arguments],
            env={**ENVIRONMENT, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
        )

    def answer(self, script: str, *arguments: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The JSON object that `script` prints."""
        done = self.run(script, *arguments, environment=environment)
        assert done.returncode == 0, done.stderr
        return cast(dict[str, Any], json.loads(done.stdout))


@pytest.fixture(scope="session")
def in_lambda(assets: Path) -> Callable[[str], Lambda]:
    return lambda name: Lambda(assets, name)
