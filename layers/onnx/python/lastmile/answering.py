"""A person's answer to a run that waits for one: from the control API, a button in chat, or the command line."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from lastmile.approvals import Approval, Approvals
from lastmile.errors import NotFound, ReleaseConflict, VersionRejected
from lastmile.registry import Registry, Release

LOOK_BACK = 50  # entries of the audit; whoever was cut short comes again soon

type Wake = Callable[[str], object]


class Answering:
    """`wake` lets the run go on that waits with a token. The answer stands once it is written; waking only makes the
    run notice sooner."""

    def __init__(
        self, registry: Registry, approvals: Approvals, wake: Wake, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._registry = registry
        self._approvals = approvals
        self._wake = wake
        self._clock = clock

    def approve(self, model: str, version: int, *, actor: str, why: str) -> Approval:
        """Raises NotFound when nobody asks, VersionRejected, and ReleaseConflict when it was answered or expired.

        The same yes again is taken for that of a call that was cut short before the audit knew of it, as long as the
        audit does not.
        """
        rejection = self._registry.rejection(model, version)
        if rejection is not None:
            raise VersionRejected(
                f"version {version} of model '{model}' was rejected by {rejection['actor']}: {rejection['why']}"
            )
        try:
            answered = self._answer(model, version, "approve", actor, why)
        except ReleaseConflict:
            answered = self._approvals.read(model, version)
            if (answered.answer, answered.actor, answered.why) != ("approve", actor, why) or self._is_told(answered):
                raise
        self._registry.record(model, "approve", version, actor=actor, why=why)
        return answered

    def reject(self, model: str, version: int, *, actor: str, why: str, again: bool = False) -> Release:
        """The version may never serve, whether a run asks or not; one that asks is answered. With `again` the version
        is barred already, by a call that may have been cut short before the answer."""
        if again:
            release = self._registry.release(model)
        else:
            release = self._registry.reject(model, version, actor=actor, why=why)
        with suppress(NotFound, ReleaseConflict):
            self._answer(model, version, "reject", actor, why)
        return release

    def _is_told(self, yes: Approval) -> bool:
        told = self._registry.audit(yes.model, limit=LOOK_BACK)
        return ("approve", yes.version, yes.actor) in [(entry.action, entry.version, entry.actor) for entry in told]

    def _answer(self, model: str, version: int, answer: str, actor: str, why: str) -> Approval:
        answered = self._approvals.answer(model, version, answer, actor=actor, why=why, now=self._clock())
        if answered.token is not None:
            self._wake(answered.token)
        return answered


def wake(client: Any, token: str) -> None:
    """Let the Step Functions execution that waits with the token go on; it may have stopped waiting. `client` is
    boto3's `stepfunctions`."""
    over = client.exceptions
    with suppress(over.TaskTimedOut, over.TaskDoesNotExist, over.InvalidToken):
        client.send_task_success(taskToken=token, output="{}")
