"""The folders through which a SageMaker training container is given its work and gives back what came of it.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from lastmile.errors import InvalidInput

ROOT = Path("/opt/ml")
LONGEST_FAILURE = 1024  # SageMaker shows no more of it


@dataclass(frozen=True, slots=True)
class Folders:
    root: Path = ROOT

    @property
    def model(self) -> Path:
        """What lies here when the container ends becomes model.tar.gz."""
        return _made(self.root / "model")

    @property
    def checkpoints(self) -> Path:
        """What lies here is copied as it is, file by file."""
        return _made(self.root / "checkpoints")

    def file(self, channel: str) -> Path:
        """The one file of a channel; raises InvalidInput."""
        found = [path for path in sorted((self.root / "input/data" / channel).rglob("*")) if path.is_file()]
        if len(found) != 1:
            raise InvalidInput(f"the channel '{channel}' holds {len(found)} files, not one")
        return found[0]

    def folder(self, channel: str) -> Path:
        return self.root / "input/data" / channel

    def hyperparameters(self) -> dict[str, str]:
        found: dict[str, str] = orjson.loads(self._config("hyperparameters.json"))
        return found

    def hosts(self) -> tuple[str, list[str]]:
        """This container's name, and those of all that work on the job."""
        document: dict[str, Any] = orjson.loads(self._config("resourceconfig.json"))
        return document["current_host"], document["hosts"]

    def channels(self) -> dict[str, dict[str, str]]:
        """How each channel came here."""
        found: dict[str, dict[str, str]] = orjson.loads(self._config("inputdataconfig.json"))
        return found

    def fail(self, reason: str) -> None:
        """What SageMaker tells whoever asks why the job has failed."""
        _made(self.root / "output").joinpath("failure").write_text(reason[:LONGEST_FAILURE])

    def _config(self, name: str) -> bytes:
        return (self.root / "input/config" / name).read_bytes()


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
