"""Who may do what in chat: platform users and their scopes, in a secret that `lastmile chat allow` writes."""

from collections.abc import Mapping
from typing import Any

import orjson

from functions.chat.message import Incoming
from functions.chat.secrets import Client, SecretsUnavailable

NAME = "people"


class People:
    """The secret `<prefix>/people`: a JSON object of actors such as `slack:T1:U1` and their scopes, with spaces
    between. It is read at every order, so that what is taken away is gone at once."""

    def __init__(self, client: Client, prefix: str) -> None:
        self._client = client
        self._name = f"{prefix}/{NAME}"

    def scopes(self, actor: str) -> frozenset[str]:
        """Raises SecretsUnavailable."""
        known = self._read().get(actor)
        return frozenset(known.split()) if isinstance(known, str) else frozenset()

    def _read(self) -> Mapping[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            document = orjson.loads(
                self._client.get_secret_value(SecretId=self._name, VersionStage="AWSCURRENT")["SecretString"]
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return {}
            raise SecretsUnavailable("who may do what cannot be read") from error
        except (BotoCoreError, KeyError, orjson.JSONDecodeError) as error:
            raise SecretsUnavailable("who may do what cannot be read") from error
        if not isinstance(document, dict):
            raise SecretsUnavailable("who may do what is no JSON object")
        return document


def actor_of(message: Incoming) -> str:
    """As the audit names the person."""
    return f"{message.platform}:{message.user}"[:256]
