"""Whether another execution of the pipeline still works: a Step Functions execution, or a process of this machine."""

import os
import socket
from pathlib import Path
from typing import Any

HERE = "process"
GONE = ("TaskTimedOut", "TaskDoesNotExist", "InvalidToken")


def this_process() -> str:
    """`process:<host>:<pid>:<start>`; a pid is used again, with another start."""
    pid = os.getpid()
    return f"{HERE}:{socket.gethostname()}:{pid}:{_started(pid)}"


class Executions:
    """`is_running` is None when nobody can tell; then only time does."""

    def __init__(self) -> None:
        self._client: Any = None

    def is_running(self, execution: str) -> bool | None:
        if execution.startswith(f"{HERE}:"):
            return _is_process_running(execution)
        return self._is_arn_running(execution) if execution.startswith("arn:") else None

    def wake(self, token: str) -> None:
        """Let the execution that waits with this token go on; it may have stopped waiting."""
        from botocore.exceptions import ClientError

        try:
            self._connected().send_task_success(taskToken=token, output="{}")
        except ClientError as error:
            if error.response["Error"]["Code"] not in GONE:
                raise

    def reconnect(self) -> None:
        """Forget connections and credentials, as is needed after a snapshot was restored."""
        self._client = None

    def _connected(self) -> Any:
        if self._client is None:
            import boto3  # Lambda's runtime has it; only a run that meets another one, or a person, pays its import

            self._client = boto3.client("stepfunctions")
        return self._client

    def _is_arn_running(self, arn: str) -> bool | None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return bool(self._connected().describe_execution(executionArn=arn)["status"] == "RUNNING")
        except ClientError as error:
            return False if error.response["Error"]["Code"] == "ExecutionDoesNotExist" else None
        except BotoCoreError:
            return None


def _is_process_running(execution: str) -> bool | None:
    _, host, pid, started = execution.split(":")
    return None if host != socket.gethostname() else _started(int(pid)) == started


def _started(pid: int) -> str:
    """When the process began, in clock ticks since the machine did (proc(5), the 22nd field); empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
