"""`lastmile deploy`: the same stacks in a real account, after showing what would change."""

import json
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.errors import CommandFailed
from cli.output import note, print_fields, print_json
from cli.target import CHECKOUT, Access, Options, Target

if TYPE_CHECKING:
    from cli.deployment import Deployment

# Keys in the environment, which the CDK prefers to AWS_PROFILE: they may be of another account than the one named.
KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AMAZON_ACCESS_KEY_ID",
    "AMAZON_SECRET_ACCESS_KEY",
    "AMAZON_SESSION_TOKEN",
)
PROFILES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")


def deploy(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Deploy without asking.")] = False,
) -> None:
    """Show what would change in an AWS account, ask, and deploy.

    The account is that of --profile, or of the credentials in the environment; the stage is dev unless --stage names
    another.
    """
    options: Options = context.obj
    outputs = roll_out(options, yes=yes)
    if options.json:
        print_json(outputs)
    else:
        print_fields(sorted(outputs.items()))
        note(f"Next: lastmile push <model.onnx> --spec <spec.toml> --promote {there(options)}")


def there(options: Options) -> str:
    """The options that lead other commands to what was deployed."""
    named = {"profile": options.profile, "stage": options.stage or "dev", "region": options.region}
    return " ".join(f"--{name} {shlex.quote(value)}" for name, value in named.items() if value)


def roll_out(options: Options, *, yes: bool, context: Mapping[str, str] | None = None) -> dict[str, str]:
    """The outputs of the stacks, once they are deployed. `context` is more for the CDK app than it gets by itself.

    One at a time: another would put what it is to deploy in the place of what was shown and is agreed to here.
    """
    from cli import interrupts
    from cli.emulator import alone

    interrupts.end_on_termination()  # and the CDK with it, which would go on deploying
    stage = options.stage or "dev"
    with alone(folder_of(stage) / "lock", waiting=f"Another command deploys stage {stage} from here; waiting for it."):
        return _rolled_out(stage, options, yes=yes, context=context)


def _rolled_out(stage: str, options: Options, *, yes: bool, context: Mapping[str, str] | None) -> dict[str, str]:
    """Where endpoints on GPUs are deployed already, they are part of it: other stacks may not take from theirs what
    they need."""
    from cli.heavy import stack_name
    from cli.local import BOOTSTRAP_STACK, stack_status
    from cli.progress import Progress

    access = Access.from_profile(options.profile, region=options.region)
    account = access.client("sts").get_caller_identity()["Account"]
    deployed = stack_status(access, stack_name(stage)) is not None
    heavy = context is not None or deployed
    if heavy and context is None:
        context = heavy_context(Target.of_stage(stage, access))
    deployment = deployment_of(stage, options, access, context=context or {})
    deployment.log.unlink(missing_ok=True)
    assembly = deployment.log.parent / "cdk.out"
    progress = Progress()
    with progress.step("Building the assets") as tell:
        deployment.build(tell)
    with progress.step("Synthesising the stacks") as tell:
        deployment.synthesise(assembly, tell)
    deployment.show_difference(assembly)
    bootstrapped = stack_status(access, BOOTSTRAP_STACK) is not None
    if not bootstrapped:
        note(f"Account {account} was never used with the CDK in {access.region}: it will be bootstrapped first.")
    if heavy:
        wanted = outputs_of(assembly / f"{stack_name(stage)}.template.json")
        if deployed:
            check_instance(wanted, access.stack_outputs(stage, more=("Gpu",)))
        note(wanted["HeavyCost"])
    if not yes:
        ask(f"Deploy stage {stage} to account {account} in {access.region}?")
    if not bootstrapped:
        with progress.step("Bootstrapping the account") as tell:
            deployment.bootstrap(account, access.region, tell=tell)
    with progress.step("Deploying the stacks") as tell:
        deployment.deploy(assembly, tell)
    return access.stack_outputs(stage, more=("Gpu",) if heavy else ())


def heavy_context(target: Target) -> dict[str, str]:
    """Of the versions that are released now."""
    from cli.heavy import context_of, wanted

    found = wanted(target.registry(), ())
    if not found:
        raise CommandFailed(
            "Endpoints on GPUs are deployed, and no version with a heavy side is released.",
            next_step="Delete them with `lastmile heavy remove`, then deploy again.",
        )
    return context_of(found)


def outputs_of(template: Path) -> dict[str, str]:
    """What the stack tells of itself, as far as that is known before it is deployed."""
    outputs = json.loads(template.read_bytes())["Outputs"]
    return {name: one["Value"] for name, one in outputs.items() if isinstance(one["Value"], str)}


def check_instance(wanted: Mapping[str, str], deployed: Mapping[str, str]) -> None:
    """SageMaker gives no endpoint with inference components another kind of instance. Raises CommandFailed."""
    before, after = deployed.get("HeavyInstance"), wanted["HeavyInstance"]
    if before is not None and before != after:
        raise CommandFailed(
            f"The heavy endpoint has {before}, the versions want {after}, and SageMaker cannot change it in place.",
            next_step="Run `lastmile heavy remove`, then this again; light answers stand in for it meanwhile.",
        )


def deployment_of(
    stage: str, options: Options, access: Access, *, context: Mapping[str, str] | None = None
) -> "Deployment":
    """The CDK finds the credentials itself, so that a profile's single sign-on works as usual and keys are renewed.

    Its standard input is closed, so it cannot ask for the code of a second factor: it gets what was given for one.
    """
    from cli.deployment import Deployment

    environ = dict(os.environ)
    if options.profile:
        environ = {name: value for name, value in environ.items() if name not in KEYS}
        environ["AWS_PROFILE"] = options.profile
    if has_second_factor(options.profile):
        environ = {name: value for name, value in environ.items() if name not in (*KEYS, *PROFILES)} | access.environ
    return Deployment(
        checkout=CHECKOUT,
        stage=stage,
        environ=environ | {"AWS_REGION": access.region, "AWS_DEFAULT_REGION": access.region},
        log=folder_of(stage) / "deploy.log",
        context=context or {},
    )


def folder_of(stage: str) -> Path:
    return CHECKOUT / ".build/deploy" / stage


def has_second_factor(profile: str | None) -> bool:
    from botocore.session import Session

    return "mfa_serial" in Session(profile=profile).get_scoped_config()


def ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise CommandFailed("Nobody is here to say yes.", next_step="Repeat with --yes to deploy without asking.")
    if not typer.confirm(question):
        raise CommandFailed("Nothing was deployed.")
