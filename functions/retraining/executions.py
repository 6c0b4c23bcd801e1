"""Whether another execution of the pipeline still works, and waking one that waits for a person."""

from typing import Any

from lastmile.executions import RUNNING, Status, described, status

GONE = ("TaskTimedOut", "TaskDoesNotExist", "InvalidToken")


class Executions:
    """`is_running` is None when nobody can tell; then only time does."""

    def __init__(self) -> None:
        self._client: Any = None

    def is_running(self, execution: str) -> bool | None:
        found = status(execution, self._described)
        return None if found is None else found.name == RUNNING

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

    def _described(self, arn: str) -> Status | None:
        from botocore.exceptions import BotoCoreError

        try:
            return described(self._connected(), arn)
        except BotoCoreError:
            return None
