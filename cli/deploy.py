"""`lastmile deploy`: the same stacks in a real account, after showing what would change."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli.errors import CommandFailed
from cli.output import note, print_fields, print_json
from cli.target import CHECKOUT, Access, Options

if TYPE_CHECKING:
    from cli.deployment import Deployment


def deploy(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Deploy without asking.")] = False,
) -> None:
    """Show what would change in an AWS account, ask, and deploy.

    The account is that of --profile, or of the credentials in the environment; the stage is dev unless --stage names
    another.
    """
    from cli.local import BOOTSTRAP_STACK, stack_status
    from cli.progress import Progress

    options: Options = context.obj
    stage = options.stage or "dev"
    access = Access.from_profile(options.profile, region=options.region)
    account = access.client("sts").get_caller_identity()["Account"]
    deployment = deployment_of(stage, options, access)
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
    if not yes:
        ask(f"Deploy stage {stage} to account {account} in {access.region}?")
    if not bootstrapped:
        with progress.step("Bootstrapping the account") as tell:
            deployment.bootstrap(account, access.region, tell=tell)
    with progress.step("Deploying the stacks") as tell:
        deployment.deploy(assembly, tell)
    outputs = access.stack_outputs(stage)
    if options.json:
        print_json(outputs)
    else:
        print_fields(sorted(outputs.items()))
        note(f"Next: lastmile push <model.onnx> --spec <spec.toml> --promote --stage {stage}")


def deployment_of(stage: str, options: Options, access: Access) -> "Deployment":
    """The CDK finds the credentials itself, so that a profile's single sign-on or second factor works as usual."""
    from cli.deployment import Deployment

    profile = {"AWS_PROFILE": options.profile} if options.profile else {}
    folder = CHECKOUT / ".build/deploy" / stage
    folder.mkdir(parents=True, exist_ok=True)
    return Deployment(
        checkout=CHECKOUT,
        stage=stage,
        environ=os.environ | profile | {"AWS_REGION": access.region, "AWS_DEFAULT_REGION": access.region},
        log=folder / "deploy.log",
    )


def ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise CommandFailed("Nobody is here to say yes.", next_step="Repeat with --yes to deploy without asking.")
    if not typer.confirm(question):
        raise CommandFailed("Nothing was deployed.")
