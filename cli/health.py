"""Whether a stack is there and answers, in the order in which one thing needs the other."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

from cli.answers import refused
from cli.errors import CommandFailed
from cli.first_model import MODEL
from cli.local import BOOTSTRAP_STACK, DONE, LocalAws, host_architecture, local_deployment, stack_status
from cli.target import STACKS, Access, Options, Target

SKEW_SECONDS = 60  # from 5 minutes on AWS refuses signatures; a token from the future it refuses at once

type Looks = dict[str, Callable[[], str]]


@dataclass(frozen=True)
class Local:
    folder: Path

    def checks(self) -> Looks:
        return {"installed": self.installed, "running": self.running, "stacks": self.stacks}

    def freshness(self) -> Looks:
        return {"assets": self.assets, "deployment": self.deployment}

    def target(self) -> Target:
        return Target.local(self.folder)

    @property
    def aws(self) -> LocalAws:
        return LocalAws(folder=self.folder)

    def installed(self) -> str:
        python = self.aws.checkout / ".local-aws/bin/python"
        if not python.exists():
            raise CommandFailed("The local AWS is not installed yet.", next_step="Run `make up`.")
        return str(python.parent.parent)

    def assets(self) -> str:
        command = [sys.executable, "-m", "layers.build", "--check", "--arch", host_architecture()]
        done = subprocess.run(command, cwd=self.aws.checkout, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CommandFailed(done.stderr.strip(), next_step="Run `make up`, which builds and deploys them.")
        return "built from the sources as they are"

    def running(self) -> str:
        process = self.aws.emulator.running()
        if process is None:
            raise CommandFailed("The local AWS is not up.", next_step="Run `make up`.")
        return f"{process.url}, process {process.pid}"

    def stacks(self) -> str:
        return deployed(self.target().access, self.target().stage, mend="Run `make up`.")

    def deployment(self) -> str:
        local = self.aws
        deployment = local_deployment(local.checkout, local.stage, environ={}, log=self.folder)
        if local.deployed_digest() != deployment.digest():
            raise CommandFailed("Something was changed since the deployment.", next_step="Run `make up`.")
        return "the checkout as it is"


@dataclass(frozen=True)
class Account:
    options: Options

    def checks(self) -> Looks:
        return {"credentials": self.credentials, "bootstrap": self.bootstrap, "stacks": self.stacks}

    def freshness(self) -> Looks:
        return {}

    def target(self) -> Target:
        return self.options.target()

    @property
    def access(self) -> Access:
        return Access.from_profile(self.options.profile, region=self.options.region)

    @property
    def stage(self) -> str:
        return self.options.stage or "dev"

    def credentials(self) -> str:
        return str(self.access.client("sts").get_caller_identity()["Arn"])

    def bootstrap(self) -> str:
        status = stack_status(self.access, BOOTSTRAP_STACK)
        if status not in DONE:
            raise CommandFailed(f"The stack {BOOTSTRAP_STACK} is {status or 'missing'}.", next_step=self._deploy)
        return f"{BOOTSTRAP_STACK} is {status}"

    def stacks(self) -> str:
        return deployed(self.access, self.stage, mend=self._deploy)

    @property
    def _deploy(self) -> str:
        return f"Run `lastmile deploy --stage {self.stage}`."


@dataclass(frozen=True)
class Stack:
    find: Callable[[], Target]

    def checks(self) -> Looks:
        return {"API": self.api, "clock": self.clock, "token": self.token, "first model": self.model}

    def api(self) -> str:
        target = self.find()
        answer = target.call("GET", "/health")
        if answer.status != 200:
            raise refused(answer)
        return target.api_url

    def clock(self) -> str:
        answer = self.find().call("GET", "/health")
        try:
            there = parsedate_to_datetime(answer.headers["date"]).timestamp()
        except (KeyError, ValueError):
            raise CommandFailed(f"{answer.url} does not tell the time.", next_step="See who answers there.") from None
        skew = time.time() - there
        if abs(skew) > SKEW_SECONDS:
            raise CommandFailed(f"This machine's clock is {skew:+.0f} s off.", next_step="Set the clock.")
        return f"within {SKEW_SECONDS} s of the API's"

    def token(self) -> str:
        target = self.find()
        target.token()
        return target.token_url

    def model(self) -> str:
        target = self.find()
        answer = target.call("GET", f"/v2/models/{MODEL}/ready", token=target.token(["infer"]))
        if answer.status != 200:
            raise refused(answer)
        return f"{MODEL} is ready"


def deployed(access: Access, stage: str, *, mend: str) -> str:
    states = {name: stack_status(access, f"Lastmile-{stage}-{name}") for name in STACKS}
    if wrong := {name: state for name, state in states.items() if state not in DONE}:
        listed = ", ".join(f"{name} is {state or 'missing'}" for name, state in wrong.items())
        raise CommandFailed(f"Of stage {stage}, {listed}.", next_step=mend)
    return ", ".join(f"Lastmile-{stage}-{name}" for name in states)
