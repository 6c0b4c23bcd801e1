"""Each message is worked on by one worker at a time, and no more when it is done: Powertools' idempotency.

It keeps a lease for as long as the function may run, so that two who hold the same message cannot both do what its
record says is to be done, and it knows a message that is done in one conditional write. What was decided, and how far
that is done, stays in our own records: Powertools alone would lose or repeat what a worker was killed over.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from functions.chat.message import Queued
from functions.chat.records import DAY, DONE_DAYS
from functions.chat.web import TryLater

PREFIX = "once"  # of its keys, beside `message#` and `conversation#` in the same table


class Once:
    """`client` is boto3's `dynamodb`. Powertools imports boto3: it is imported when it is first used, or warmed up."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def warm_up(self) -> None:
        """Before a snapshot: have everything imported, and nothing connected."""
        import aws_lambda_powertools.utilities.idempotency  # noqa: F401

    def until(self, context: object) -> None:
        """Of Lambda's context: leases end when the function must."""
        self._config.register_lambda_context(context)

    def __call__(self, queued: Queued, act: Callable[[], None], *, redriven: str = "") -> None:
        """Do it unless it is done; raises TryLater where another has it, and what `act` raises: then it is not done.

        `redriven` names one sending of a dead letter, which is to be done although it was done with.
        """
        from aws_lambda_powertools.utilities.idempotency import exceptions

        identity = {"platform": queued.platform, "kind": queued.kind, "event": queued.event_id, "redriven": redriven}
        try:
            self._run(act, identity=identity)
        except exceptions.IdempotencyAlreadyInProgressError:
            raise TryLater("another worker has it") from None
        except (
            exceptions.IdempotencyInconsistentStateError,
            exceptions.IdempotencyPersistenceLayerError,
        ) as error:
            raise TryLater(f"the table does not answer: {type(error.__cause__ or error).__name__}") from error

    @cached_property
    def _config(self) -> Any:
        from aws_lambda_powertools.utilities.idempotency import IdempotencyConfig

        return IdempotencyConfig(
            expires_after_seconds=DONE_DAYS * DAY, hash_function="sha256", raise_on_no_idempotency_key=True
        )

    @cached_property
    def _run(self) -> Callable[..., None]:
        from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, idempotent_function

        layer = DynamoDBPersistenceLayer(self._table, key_attr="pk", expiry_attr="expires", boto3_client=self._client)
        run: Callable[..., None] = idempotent_function(
            _perform,
            data_keyword_argument="identity",
            persistence_store=layer,
            config=self._config,
            key_prefix=PREFIX,
        )
        return run


def _perform(act: Callable[[], None], *, identity: object) -> None:
    act()
