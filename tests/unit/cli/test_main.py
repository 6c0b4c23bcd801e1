import subprocess
import sys
from typing import Any

import pytest

from cli import main

# Typer itself imports pydantic as soon as a command is named.
HEAVY = {"boto3", "botocore", "numpy", "onnx", "onnxruntime", "obstore", "orjson", "rich", "sklearn"}


@pytest.mark.parametrize("words", [["--help"], ["push", "--help"], ["release", "canary", "--help"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    script = f"""
import sys
from cli.main import main
try:
    main({words!r})
except SystemExit:
    pass
print(*sorted({HEAVY!r} & sys.modules.keys()), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "Usage: lastmile" in done.stdout
    assert done.stderr.strip() == ""


@pytest.mark.parametrize(
    ("given", "hoisted"),
    [
        (["models", "--json"], ["--json", "models"]),
        (
            ["versions", "iris", "--stage", "prod", "--limit", "3"],
            ["--stage", "prod", "versions", "iris", "--limit", "3"],
        ),
        (["models", "--region=eu-west-1"], ["--region=eu-west-1", "models"]),
        (["models", "--", "--json"], ["models", "--", "--json"]),
        (["models", "--profile"], ["--profile", "models"]),
        (["cost", "iris", "--profile", "flat", "--json"], ["--json", "cost", "iris", "--profile", "flat"]),
        (["--profile", "mine", "cost", "iris"], ["--profile", "mine", "cost", "iris"]),
    ],
)
def test_global_options_may_follow_the_command(given: list[str], hoisted: list[str]) -> None:
    assert main.hoisted(given) == hoisted


def test_an_unknown_option_and_an_unknown_command_are_usage_errors(lastmile: Any) -> None:
    assert lastmile("models", "--colour").code == 2
    assert lastmile("fly").code == 2


def test_an_argument_that_is_no_text_is_wrong_usage(lastmile: Any) -> None:
    outcome = lastmile("versions", "caf\udcff")
    assert (outcome.code, outcome.out, outcome.err) == (2, "", "'caf\\udcff' is not UTF-8.\n")


def test_a_store_that_does_not_answer_counts_as_unreachable(
    lastmile: Any, monkeypatch: pytest.MonkeyPatch, s3_environ: dict[str, str]
) -> None:
    for name, value in s3_environ.items():
        monkeypatch.setenv(name, value)
    outcome = lastmile("models", "--registry", "s3://no-such-bucket")
    assert (outcome.code, outcome.out) == (3, "")
    assert "no-such-bucket" in outcome.err
    assert "→ Run `lastmile doctor`." in outcome.err


def test_every_error_of_boto3_is_known_as_one() -> None:
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import ClientError, NoRegionError

    assert main.is_aws_error(S3UploadFailedError("no such bucket"))
    assert main.is_aws_error(NoRegionError())
    assert main.is_aws_error(ClientError({}, "PutObject"))
    assert not main.is_aws_error(ValueError())


@pytest.mark.parametrize("group", ["", "release", "audit", "run", "drift", "report", "chat", "heavy"])
def test_help_says_what_each_command_does_without_breaking_off(
    lastmile: Any, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    listed = lastmile(*filter(None, [group]), "--help").out.partition("Commands:")[2]
    assert listed.count("\n") > 2
    assert "..." not in listed
