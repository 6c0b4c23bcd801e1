"""The model that a new deployment gets: trained here from data that is everywhere, then pushed as any other."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from cli import push
from cli.emulator import alone
from cli.errors import CommandFailed
from cli.progress import Progress
from cli.target import Target

if TYPE_CHECKING:
    from lastmile.manifest import Manifest
    from lastmile.registry import Registry

MODEL = "digits"
FILES = ("model.onnx", "model.int8.onnx")  # the last one becomes the champion; rolling back leads to the one before


@dataclass(frozen=True)
class FirstModel:
    checkout: Path

    @property
    def folder(self) -> Path:
        return self.checkout / ".build/models" / MODEL

    @property
    def spec(self) -> Path:
        return self.checkout / "models" / MODEL / "spec.toml"

    def images(self) -> list[dict[str, Any]]:
        """Held-out images, `{"digit", "image": 64 intensities}`, none of which trained the model."""
        images: list[dict[str, Any]] = json.loads((self.folder / "report.json").read_bytes())["images"]
        return images

    def serve(self, target: Target, progress: Progress) -> None:
        """Train it where that has not been done, and push and promote it where nothing is released."""
        self._train(progress)
        registry = target.registry()
        if released(registry) is not None:
            return
        with progress.step(f"Pushing and promoting {MODEL}"):
            for manifest in [self._pushed(registry, file) for file in FILES]:
                registry.promote(MODEL, manifest.version, actor="lastmile up", why=f"first model: {describe(manifest)}")

    def _train(self, progress: Progress) -> None:
        """Whole or not at all, also where several processes train at once."""
        parent = self.folder.parent
        with alone(parent / ".lock", waiting="Waiting for another command that trains the first model."):
            if self.folder.is_dir():
                return
            with progress.step(f"Training {MODEL}"), TemporaryDirectory(dir=parent) as temporary:
                out = Path(temporary) / MODEL
                command = [sys.executable, "-m", f"models.{MODEL}.train", "--out", str(out)]
                done = subprocess.run(command, cwd=self.checkout, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise CommandFailed(f"{MODEL} could not be trained: {(done.stderr or done.stdout).strip()}")
                out.replace(self.folder)

    def _pushed(self, registry: "Registry", file: str) -> "Manifest":
        """The version that an interrupted `up` pushed before, or a new one."""
        candidate = push.check(self.folder / file, self.spec)
        if (existing := versions(registry).get(candidate.sha256)) is not None:
            return existing
        report = push.read_report(self.folder / "report.json", candidate.sha256)
        return registry.push(
            candidate.spec,
            candidate.data,
            signature=candidate.signature,
            actor="lastmile up",
            why="first model",
            metrics=report.metrics,
            lineage=report.lineage | push.source_of(self.spec),
            compression=report.compression,
        )


def released(registry: "Registry") -> int | None:
    from lastmile.errors import NotFound

    try:
        return registry.release(MODEL).champion
    except NotFound:
        return None


def versions(registry: "Registry") -> "dict[str, Manifest]":
    """By the digest of their model files."""
    from lastmile.errors import NotFound

    try:
        return {manifest.artefact.sha256: manifest for manifest in registry.versions(MODEL)}
    except NotFound:
        return {}


def describe(manifest: "Manifest") -> str:
    return f"{manifest.compression.get('kind', 'none')}, accuracy {manifest.metrics['accuracy']}"
