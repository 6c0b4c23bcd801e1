"""Who works on a run, and whether they still do: a Step Functions execution, or a process of some machine."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

PROCESS = "process"
RUNNING = "RUNNING"
GONE = "GONE"  # a process that is no more, an execution that is forgotten


class Status(NamedTuple):
    """RUNNING, GONE, or how it ended in Step Functions' words; when it ended, in seconds since 1970, if that is known.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html
    """

    name: str
    ended_at: float | None = None


type Ask = Callable[[str], Status | None]


def this_process() -> str:
    """`process:<host>:<pid>:<start>`; a pid is used again, with another start."""
    pid = os.getpid()
    return f"{PROCESS}:{socket.gethostname()}:{pid}:{_started(pid)}"


def is_process(execution: str) -> bool:
    return execution.startswith(f"{PROCESS}:")


def status(execution: str, ask: Ask) -> Status | None:
    """None when nobody can tell; then only time does. `ask` knows of the executions of Step Functions, by ARN."""
    if is_process(execution):
        return _of_process(execution)
    return ask(execution) if execution.startswith("arn:") else None


def untold(arn: str) -> None:
    """What is known of executions where Step Functions cannot be asked."""


def described(client: Any, arn: str) -> Status | None:
    """What Step Functions says, None if it may not be asked. `client` is boto3's `stepfunctions`."""
    try:
        found = client.describe_execution(executionArn=arn)
    except client.exceptions.ExecutionDoesNotExist:
        return Status(GONE)
    except client.exceptions.ClientError:
        return None
    ended = found.get("stopDate")
    return Status(found["status"], None if ended is None else ended.timestamp())


def _of_process(execution: str) -> Status | None:
    _, host, pid, started = execution.split(":")
    if host != socket.gethostname():
        return None
    return Status(RUNNING if _started(int(pid)) == started else GONE)


def _started(pid: int) -> str:
    """When the process began, in clock ticks since the machine did (proc(5), the 22nd field); empty if it is gone, also
    where nobody has taken note of its end (a zombie)."""
    try:
        state, *others = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state == "Z" else others[18]
