import json
import subprocess
import sys
from typing import Any

import pytest

from functions.chat.doors import Client, open_hook, open_operator, open_worker
from lastmile.errors import MissingSettings
from tests.unit.chat.conftest import Hook
from tests.unit.chat.test_environment import OPERATOR, WORKER

HOOK = {
    "LASTMILE_CHAT_SECRETS": "lastmile/dev/chat",
    "LASTMILE_CHAT_QUEUE": "https://sqs/messages.fifo",
    "LASTMILE_OPERATIONS_QUEUE": "https://sqs/operations.fifo",
}


def test_a_client_is_made_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    class Boto3:
        def client(self, service: str, config: Any) -> Any:
            made.append(service)
            return "a client"

    monkeypatch.setitem(sys.modules, "boto3", Boto3())
    client = Client("sqs")
    assert made == []
    assert client.upper() == "A CLIENT"
    assert client.lower() == "a client"
    assert made == ["sqs"]


def test_every_door_opens_without_asking_anybody() -> None:
    assert callable(open_hook(HOOK))
    stores = {"LASTMILE_ARTIFACTS": "memory://", "LASTMILE_DATA": "memory://"}
    assert callable(open_worker(WORKER | stores))
    assert callable(open_operator(OPERATOR | stores))


def test_a_door_names_what_is_missing() -> None:
    with pytest.raises(MissingSettings, match="LASTMILE_CHAT_QUEUE"):
        open_hook({})


def test_warming_up_queues_nothing(hook: Hook) -> None:
    hook.door.warm_up()
    assert hook.queue.taken == []
    assert hook.manager.reads > 0


def test_a_secret_that_is_made_right_after_the_warm_up_counts(hook: Hook) -> None:
    known = hook.manager.versions.pop("slack")
    hook.door.warm_up()
    hook.manager.versions["slack"] = known
    assert hook.recorded("slack/message")[0] == 200


def test_the_hook_waits_for_nothing_that_only_the_worker_needs() -> None:
    """A platform waits for three seconds; what the assistant, the model and AWS need comes later or never."""
    script = "import functions.chat.doors, json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    names = set(json.loads(done.stdout))
    assert "aws_lambda_powertools.utilities.idempotency" not in names
    loaded = {name.partition(".")[0] for name in names}
    assert not loaded & {"boto3", "nacl", "numpy", "onnxruntime", "obstore", "pydantic", "urllib3"}


@pytest.mark.parametrize("door", ["open_worker", "open_operator"])
def test_leases_are_imported_before_a_snapshot_and_not_for_the_first_message(door: str) -> None:
    script = f"""
import sys
from snapshot_restore_py import get_before_snapshot
from functions.chat import doors
from tests.unit.chat.test_environment import OPERATOR, WORKER
stores = {{"LASTMILE_ARTIFACTS": "memory://", "LASTMILE_DATA": "memory://"}}
doors.{door}(OPERATOR | WORKER | stores)
before = "aws_lambda_powertools.utilities.idempotency" in sys.modules
for function, arguments, named in get_before_snapshot():
    function(*arguments, **named)
print(before, "aws_lambda_powertools.utilities.idempotency" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
