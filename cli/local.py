"""The local AWS with the stacks deployed into it: what `lastmile up` makes and `lastmile down` ends."""

import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from cli.answers import refused
from cli.connections import local_connections
from cli.deployment import Deployment
from cli.emulator import REGION, ROOT_KEY, Certificate, Emulator, alone
from cli.environment import local_aws_python
from cli.errors import CommandFailed, Unreachable
from cli.first_model import MODEL, FirstModel
from cli.local_endpoint import SETTING, LocalEndpoint, Place
from cli.local_process import HOST, Process
from cli.people import allow_locally
from cli.progress import Progress
from cli.target import CHECKOUT, LOCAL_FOLDER, STACKS, Access, Credentials, Target

ACCOUNT = "000000000000"
BOOTSTRAP_STACK = "CDKToolkit"
DONE = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
ANSWER_SECONDS = 90  # the first calls unpack what they mount, on a machine with much else to do


@dataclass(frozen=True, kw_only=True)
class LocalAws:
    """Keeps all its files in `folder`. An assembly that is synthesised already saves synthesising it again."""

    folder: Path = LOCAL_FOLDER
    checkout: Path = CHECKOUT
    stage: str = "dev"
    certificate: Certificate | None = None
    assembly: Path | None = None
    guest: bool = False

    @property
    def emulator(self) -> Emulator:
        return Emulator(self.folder, self.certificate, self.guest)

    @property
    def endpoint(self) -> LocalEndpoint:
        """Where heavy models run."""
        return LocalEndpoint(self.folder, self.checkout, self.guest)

    def up(self, progress: Progress) -> Target:
        """Start what is not running, deploy what is not deployed. A failure leaves nothing running that was not."""
        with self._alone():
            if self.emulator.running() is None:
                self.endpoint.stop()  # what it knows of the AWS beside it is over
            return self._up(progress)

    def _up(self, progress: Progress) -> Target:
        with self.endpoint.reserved() as place:
            was_running = self.emulator.running() is not None
            try:
                process = self._deployed(progress, place)
                target = local_target(self.stage, self.access(process))
                with progress.step("Starting the endpoint of heavy models"):
                    runtime = self.endpoint.start(endpoint_environ(target), place)
                FirstModel(self.checkout).serve(target, progress)
                with progress.step("Waiting for the API"):
                    wait_until_answering(target)
            except BaseException:
                if not was_running:
                    self._forget_target()
                    self.endpoint.stop()
                    self.emulator.kill()  # a deployment cut short must not be saved
                raise
            chat = local_connections(target, self._read("chat.json"))
            allow_locally(target)
            self._write("chat.json", chat)  # secrets outlive a `down`, as the stack that knows them does
            described = describe(target, process) | {"sagemaker_runtime_url": runtime.url, "chat": chat}
            self._write("local.json", described)
            return target

    def down(self) -> bool:
        """End every process; False when there was none. What is deployed and stored stays for the next time."""
        with self._alone():
            self._forget_target()
            self.endpoint.stop()
            return self.emulator.stop()

    def erase(self) -> None:
        with self._alone():
            self._forget_target()
            self.endpoint.stop()
            self.emulator.erase()
            (self.folder / "deployed.json").unlink(missing_ok=True)

    def deployed_digest(self) -> str | None:
        """Of the inputs that the running stacks were made from."""
        return self._read("deployed.json").get("digest")

    def access(self, process: Process) -> Access:
        return Access(
            region=REGION,
            credentials=Credentials(ROOT_KEY, ROOT_KEY),
            endpoint_url=process.url,
            ca_bundle=str(self.certificate.certificate) if self.certificate else None,
        )

    def _deployed(self, progress: Progress, place: Place) -> Process:
        python = local_aws_python(self.checkout)
        with progress.step("Starting the local AWS"):
            emulator = replace(self.emulator, environ={SETTING: f"http://{HOST}:{place.port}"})
            if place.is_new:  # what runs knows the port of before
                emulator.stop()
            process = emulator.start(python)
        access = self.access(process)
        deployment = local_deployment(
            self.checkout, self.stage, environ=environ(access, self.folder), log=self.folder / "deploy.log"
        )
        deployment.log.unlink(missing_ok=True)
        digest = self._prepared(deployment, progress)
        if self.deployed_digest() == digest and self._is_complete(access):
            return process
        (self.folder / "deployed.json").unlink(missing_ok=True)
        self._deploy(deployment, access, progress=progress)
        with progress.step("Saving the deployment"):
            process = emulator.save(python)
        self._write("deployed.json", {"digest": digest})
        return process

    def _prepared(self, deployment: Deployment, progress: Progress) -> str:
        """The digest of what is to be deployed: an assembly holds its assets, the checkout builds them first."""
        if self.assembly is not None:
            return digest_of(self.assembly)
        with progress.step("Building the assets") as tell:
            deployment.build(tell)
        return deployment.digest()

    def _deploy(self, deployment: Deployment, access: Access, *, progress: Progress) -> None:
        assembly = self.assembly or self.folder / "cdk.out"
        if self.assembly is None:
            with progress.step("Synthesising the stacks") as tell:
                deployment.synthesise(assembly, tell)
        if stack_status(access, BOOTSTRAP_STACK) not in DONE:
            with progress.step("Bootstrapping the account") as tell:
                deployment.bootstrap(ACCOUNT, REGION, tell=tell)
        with progress.step("Deploying the stacks") as tell:
            deployment.deploy(assembly, tell)

    def _is_complete(self, access: Access) -> bool:
        return all(stack_status(access, f"Lastmile-{self.stage}-{stack}") in DONE for stack in STACKS)

    def _forget_target(self) -> None:
        (self.folder / "local.json").unlink(missing_ok=True)

    def _alone(self) -> AbstractContextManager[IO[str]]:
        waiting = "Another `lastmile up` or `down` is at work here; waiting for it."
        return alone(self.folder / "lock", waiting=waiting)

    def _read(self, name: str) -> dict[str, Any]:
        try:
            document: dict[str, Any] = json.loads((self.folder / name).read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return document

    def _write(self, name: str, document: dict[str, Any]) -> None:
        """Whole or not at all, since others wait for the file to appear; the owner's alone, since it holds a secret."""
        new = self.folder / f"{name}.new"
        new.touch(mode=0o600)
        new.write_text(json.dumps(document, indent=2) + "\n")
        new.replace(self.folder / name)


def local_deployment(checkout: Path, stage: str, *, environ: Mapping[str, str], log: Path) -> Deployment:
    """For this machine's architecture; tokens come from the address of the API itself."""
    return Deployment(
        checkout=checkout, stage=stage, environ=environ, log=log, architecture=host_architecture(), token_url=""
    )


def host_architecture() -> str:
    """Lambda's name for this machine's processor; handlers run on it directly, from wheels for Linux."""
    if sys.platform != "linux":
        raise CommandFailed("The local AWS runs on Linux only.", next_step="Use Linux, WSL 2 or a container.")
    machine = platform.machine().lower()
    if machine not in ARCHITECTURES:
        raise CommandFailed(f"Lambda has no architecture like this machine's {machine}.")
    return ARCHITECTURES[machine]


def environ(access: Access, folder: Path) -> dict[str, str]:
    """The user's own environment with another AWS in it; no profile or proxy of theirs is used."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    no_proxy = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    return kept | access.environ | no_proxy | {"AWS_EC2_METADATA_DISABLED": "true", "CDK_HOME": str(folder / "cdk")}


def digest_of(assembly: Path) -> str:
    """Templates name their assets by content."""
    documents = sorted(assembly.glob("*.json"))
    return hashlib.sha256(b"".join(document.read_bytes() for document in documents)).hexdigest()


def local_target(stage: str, access: Access) -> Target:
    """The outputs name addresses as they are in AWS; here both are paths of one port."""
    target = Target.of_stage(stage, access)
    url = f"{access.endpoint_url}/_aws/execute-api/{target.api_id}"
    return replace(target, api_url=url, token_url=f"{access.endpoint_url}/oauth2/token")


def endpoint_environ(target: Target) -> dict[str, str]:
    """The registry whose heavy sides it runs, and the AWS that their requests are in."""
    return target.environ | {"LASTMILE_ARTIFACTS": target.artifacts, "LASTMILE_STAGE": target.stage}


def describe(target: Target, process: Process) -> dict[str, Any]:
    return target.to_document() | {
        "pid": process.pid,
        "port": process.port,
    }


def stack_status(access: Access, name: str) -> str | None:
    """None where there is no such stack; whoever may not look gets AWS's error."""
    from botocore.exceptions import ClientError

    try:
        return str(access.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        return None


def wait_until_answering(target: Target) -> None:
    """Until both functions are warm and the first model is ready."""
    deadline = time.monotonic() + ANSWER_SECONDS
    token = target.token(["infer", "read"])
    for path in (f"/v2/models/{MODEL}/ready", f"/control/models/{MODEL}/release"):
        while (answer := target.call("GET", path, token=token)).status != 200:
            if time.monotonic() > deadline:
                raise Unreachable(f"{target.api_url}{path} does not answer: {refused(answer)}")
            time.sleep(0.2)
