"""The commands about a deployment, as a user runs them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Timer

import pytest

from cli.local import LocalAws
from cli.target import CHECKOUT, Options, Target

EVENTS = CHECKOUT / "events"
LASTMILE = Path(sys.executable).with_name("lastmile")
INTERRUPTED = 130

type Done = subprocess.CompletedProcess[str]


@pytest.fixture
def lastmile(local_aws: LocalAws, stack: Target) -> Callable[..., Done]:
    def run(*words: object, environ: dict[str, str] | None = None) -> Done:
        command = [str(LASTMILE), "--local", str(local_aws.folder), *map(str, words)]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=300, env=environ, stdin=subprocess.DEVNULL
        )

    return run


def test_up_serves_the_first_model_and_down_ends_it(tmp_path: Path, assets: Path) -> None:
    """As in a fresh clone: nothing is given, not even an assembly."""
    local = LocalAws(folder=tmp_path / "aws")
    run = partial(subprocess.run, capture_output=True, text=True, check=True, timeout=300, stdin=subprocess.DEVNULL)
    try:
        up = run([str(LASTMILE), "--local", str(local.folder), "up", "--fresh", "--bare", "--json"])
        summary = json.loads(up.stdout)
        assert [item["predicted"] for item in summary["predictions"]] == [
            item["digit"] for item in summary["predictions"]
        ]
        steps = [line for line in up.stderr.splitlines() if line.startswith("✓")]
        assert [step.rpartition(" (")[0] for step in steps] == [
            "✓ Starting the local AWS",
            "✓ Building the assets",
            "✓ Synthesising the stacks",
            "✓ Bootstrapping the account",
            "✓ Deploying the stacks",
            "✓ Saving the deployment",
            "✓ Starting the endpoint of heavy models",
            "✓ Pushing and promoting digits",
            "✓ Waiting for the API",
        ]
        described = json.loads((local.folder / "local.json").read_bytes())
        assert described["api_url"] == summary["api_url"]
        assert described["learning_state_machine_arn"].endswith(":stateMachine:lastmile-dev-learning")
        assert described["chat"]["slack"]["url"] == f"{summary['api_url']}/hooks/slack"
        down = run([str(LASTMILE), "--local", str(local.folder), "down"])
        assert down.stdout == "The local AWS is down.\n"
        assert local.emulator.running() is None
    finally:
        local.erase()


def test_an_account_is_reached_by_its_stage(stack: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same stacks, found by their outputs instead of in local.json."""
    for name, value in stack.environ.items():
        monkeypatch.setenv(name, value)
    found = Options(stage="dev").target()
    assert found == replace(stack, api_url=found.api_url, token_url=found.token_url)
    assert found.registry().release("digits") == stack.registry().release("digits")
    assert found.token_url == f"https://lastmile-dev-000000000000.auth.{stack.region}.amazoncognito.com/oauth2/token"


def test_doctor_finds_nothing_wrong(lastmile: Callable[..., Done]) -> None:
    done = lastmile("doctor", "--json")
    findings = {item["check"]: item for item in json.loads(done.stdout)}
    # The tests deploy an assembly of their own, which is not what this checkout would deploy by itself.
    del findings["deployment"]
    assert {item["state"] for item in findings.values()} == {"ok"}, done.stdout
    assert {"python", "uv", "node", "cdk", "ports", "running", "stacks", "assets", "token", "API", "clock"} <= set(
        findings
    )


def test_doctor_says_what_is_wrong_and_how_to_mend_it(lastmile: Callable[..., Done], tmp_path: Path) -> None:
    done = lastmile("doctor", "--local", tmp_path, "--json")
    findings = {item["check"]: item for item in json.loads(done.stdout)}
    assert done.returncode == 1
    assert findings["running"] == {
        "check": "running",
        "state": "wrong",
        "found": "The local AWS is not up.",
        "mend": "Run `make up`.",
    }
    assert findings["API"]["state"] == "skipped"


@pytest.mark.parametrize("event", sorted(EVENTS.glob("*-http.json")), ids=lambda event: event.stem)
def test_a_recorded_event_is_answered(lastmile: Callable[..., Done], event: Path) -> None:
    function = event.stem.partition("-")[0]
    done = lastmile("invoke", function, event)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])


def test_what_a_function_refuses_fails_the_command(lastmile: Callable[..., Done], tmp_path: Path) -> None:
    event = json.loads((EVENTS / "inference-http.json").read_text())
    event["body"] = "{}"
    (tmp_path / "event.json").write_text(json.dumps(event))
    done = lastmile("invoke", "inference", tmp_path / "event.json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["statusCode"] == 400


def test_what_is_no_event_of_a_function_is_its_error(lastmile: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text("[]")
    done = lastmile("invoke", "inference", tmp_path / "event.json")
    assert done.returncode == 1
    assert done.stderr.startswith("The function failed: ")
    assert "lastmile logs inference" in done.stderr


def test_logs_show_what_a_function_wrote(lastmile: Callable[..., Done], stack: Target) -> None:
    prediction = predict(stack)
    captured = [line for line in lastmile("logs", "inference").stdout.splitlines() if prediction in line]
    assert len(captured) == 1
    [document] = [
        event
        for line in lastmile("logs", "inference", "--json", "--since", "1h").stdout.splitlines()
        if prediction in (event := json.loads(line))["message"]
    ]
    assert json.loads(document["message"])["id"] == prediction
    assert lastmile("logs", "inference", "--since", "0s").stdout == ""


def test_logs_follow_until_interrupted(local_aws: LocalAws, stack: Target) -> None:
    command = [str(LASTMILE), "--local", str(local_aws.folder), "logs", "inference", "--follow", "--since", "1m"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        patience = Timer(60, following.kill)
        patience.start()
        first = predict(stack)
        assert any(first in line for line in following.stdout)
        second = predict(stack)
        seen = []
        for line in following.stdout:
            seen.append(line)
            if second in line:
                break
        following.send_signal(signal.SIGINT)
        following.wait()
        patience.cancel()
    assert not any(first in line for line in seen), "each line comes once"
    assert following.returncode == INTERRUPTED


def predict(stack: Target) -> str:
    """The id of a new prediction."""
    body = json.dumps({"instances": [[0] * 64]}).encode()
    answer = stack.call("POST", "/v1/models/digits:predict", body=body, token=stack.token(["infer"]))
    assert answer.status == 200
    return answer.headers["lastmile-prediction-id"]


def test_deploy_shows_what_would_change_and_asks_before_it_does(lastmile: Callable[..., Done], stack: Target) -> None:
    """Against the local AWS, which an account's credentials and endpoint lead to here."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | stack.environ
    asked = lastmile("deploy", environ=environ)
    assert "There were no differences" in asked.stdout + asked.stderr or "Stack Lastmile-dev-Serving" in asked.stdout
    assert asked.returncode == 1
    assert asked.stderr.endswith("Nobody is here to say yes.\n→ Repeat with --yes to deploy without asking.\n")
