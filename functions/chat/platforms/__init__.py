"""The platforms, a row each: how a request is verified and what it says."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from functions.chat import signatures
from functions.chat.message import Received
from functions.chat.platforms import discord, slack, standard, teams, telegram, zendesk

type Verify = Callable[[Mapping[str, str], bytes, str, float], bool]


class Platform(NamedTuple):
    """`verify` takes headers, body, secret and the time; `secret` names the member of the platform's secret that it
    wants; `forms` says that bodies may be forms beside JSON."""

    verify: Verify
    receive: Callable[[Mapping[str, Any], Mapping[str, str]], Received]
    secret: str
    forms: bool = False


PLATFORMS: dict[str, Platform] = {
    "slack": Platform(signatures.slack, slack.receive, "signing_secret", forms=True),
    "teams": Platform(signatures.teams, teams.receive, "security_token"),
    "discord": Platform(signatures.discord, discord.receive, "public_key"),
    "telegram": Platform(signatures.telegram, telegram.receive, "secret_token"),
    "zendesk": Platform(signatures.zendesk, zendesk.receive, "signing_secret"),
    "standard": Platform(signatures.standard, standard.receive, "signing_secret"),
}
