"""The models declared in this checkout, trained as any other: data is uploaded, and the pipeline does the rest."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from cli.control import Document
from cli.errors import CommandFailed
from cli.learning import ApiLearning
from cli.progress import Progress
from cli.target import Target

if TYPE_CHECKING:
    from lastmile.registry import Registry

AT_ONCE = 3
ACTOR = "lastmile up"
WHY = "first version of a new deployment"

type Tell = Callable[[str], None]


@dataclass(frozen=True)
class DeclaredModels:
    checkout: Path

    def names(self) -> list[str]:
        """Those that bring a maker of their data."""
        return sorted(maker.parent.name for maker in (self.checkout / "models").glob("*/data.py"))

    def serve(self, target: Target, progress: Progress) -> None:
        """Train what has no champion yet, several at once. Raises CommandFailed naming each that was refused.

        Whoever interrupts does not wait for the runs: they go on by themselves.
        """
        registry, interrupted = target.registry(), Event()
        missing = [name for name in self.names() if champion(registry, name) is None]
        if not missing:
            return
        with progress.step(f"Training {', '.join(missing)}") as tell, ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                ended = list(pool.map(lambda name: self._trained(target, name, progress, tell, interrupted), missing))
            except KeyboardInterrupt:
                interrupted.set()
                raise
        check(ended)

    def _trained(self, target: Target, name: str, progress: Progress, tell: Tell, interrupted: Event) -> Document:
        from cli.training import changes, upload

        def pause(seconds: float) -> None:
            if interrupted.wait(seconds):
                raise CommandFailed(f"Nobody waits for {name} any more.")

        tell(f"{name}, data")
        data = self._made(name)
        self._declare(target.registry(), name)
        learning = ApiLearning(target)
        answered = False
        for run in changes(learning, name, upload(target, name, data), sleep=pause):
            tell(f"{name}, {run['step']}")
            if run["state"] == "waiting for approval" and not answered:
                learning.approve(name, run["version"], why=WHY)  # whoever runs `up` is the person that is asked
                answered = True
        progress.say(f"  ✓ {name}: {run['state']}")
        return run

    def _made(self, name: str) -> Path:
        """The data, always the same."""
        out = self.checkout / ".build/models" / f"{name}.csv"
        out.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", f"models.{name}.data", "--out", str(out)]
        done = subprocess.run(command, cwd=self.checkout, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CommandFailed(f"The data of {name} could not be made: {(done.stderr or done.stdout).strip()}.")
        return out

    def _declare(self, registry: "Registry", name: str) -> None:
        from lastmile.spec import ModelSpec

        spec = ModelSpec.from_toml(self.checkout / "models" / name / "spec.toml")
        registry.declare(spec, actor=ACTOR, why=WHY)


def champion(registry: "Registry", model: str) -> int | None:
    from lastmile.errors import NotFound

    try:
        return registry.release(model).champion
    except NotFound:
        return None


def check(ended: Iterable[Document]) -> None:
    wrong = [run for run in ended if run["state"] != "promoted"]
    if wrong:
        said = "; ".join(map(ending, wrong))
        raise CommandFailed(f"Not every model could be trained: {said}.", next_step="See `lastmile runs`.")


def ending(run: Document) -> str:
    reason = f": {run['problem']['reason']}" if run["problem"] else ""
    return f"{run['model']} {run['state']}{reason}"
