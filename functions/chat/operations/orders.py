"""What a person asks for: a button pressed or a command typed, read the same way on every platform."""

from dataclasses import dataclass
from typing import Literal

from functions.chat.message import Incoming

COMMAND = "/lastmile"
PLATFORMS = ("slack", "discord", "telegram", "teams", "standard")  # Zendesk's words are customers'
SCOPES = {
    "help": "read",
    "status": "read",
    "models": "read",
    "drift": "read",
    "rollback": "operate",
    "block": "operate",
    "release": "operate",
    "approve": "approve",
    "reject": "approve",
}
HELP = (
    "status · models · drift <model> · rollback <model> · approve <model> <version> <why> · "
    "reject <model> <version> <why> · block|release <model> <prediction id>/<row> <why>"
)
TAKES: dict[str, tuple[str, ...]] = {
    "drift": ("model",),
    "rollback": ("model", "revision?"),
    "approve": ("model", "version"),
    "reject": ("model", "version"),
    "block": ("model", "prediction"),
    "release": ("model", "prediction"),
}


@dataclass(frozen=True, slots=True)
class Order:
    """`number` is a version or, for a rollback, the revision that it starts from; `row` one of the prediction."""

    verb: str
    model: str = ""
    number: int | None = None
    prediction: str = ""
    row: int = 0
    why: str = ""
    way: Literal["button", "command"] = "command"

    @property
    def scope(self) -> str:
        return SCOPES[self.verb]


class Unclear(Exception):
    """Nobody can tell what is asked for; says how it would be said."""


def concerns(message: Incoming) -> bool:
    """Whether the message is for operations, and not for the assistant."""
    if message.platform not in PLATFORMS:
        return False
    match message.kind:
        case "command":
            return message.value == COMMAND
        case "button":
            return (message.value or "").partition(":")[0] in SCOPES
        case "message":
            return message.text.split(maxsplit=1)[:1] == [COMMAND]
        case _:
            return False


def order_of(message: Incoming) -> Order:
    """Raises Unclear."""
    if message.kind == "button":
        verb, _, value = (message.value or "").partition(":")
        model, _, rest = value.partition("/")
        words = [model, rest] if rest else [model] if model else []
        return _order(verb, words, message.text, "button")
    words = message.text.split()
    words = words[1:] if words[:1] == [COMMAND] else words
    verb = words[0].lower() if words else "help"
    if verb not in SCOPES:
        return Order("help")
    needed = len(TAKES.get(verb, ()))
    if verb == "rollback" and not (len(words) > 2 and words[2].isdigit()):
        needed = 1
    return _order(verb, words[1 : needed + 1], " ".join(words[needed + 1 :]), "command")


def _order(verb: str, words: list[str], why: str, way: Literal["button", "command"]) -> Order:
    takes = TAKES.get(verb, ())
    if len(words) < len([each for each in takes if not each.endswith("?")]):
        raise Unclear(f"Say `{COMMAND} {verb} {' '.join(f'<{each}>' for each in takes if not each.endswith('?'))}`.")
    order = Order(verb, words[0] if takes else "", why=why.strip(), way=way)
    if takes[1:] == ("prediction",):
        prediction, _, row = words[1].partition("/")
        return Order(verb, order.model, prediction=prediction, row=_whole(row or "0"), why=order.why, way=way)
    if len(words) > 1 and takes:
        return Order(verb, order.model, number=_whole(words[1]), why=order.why, way=way)
    return order


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Unclear(f"{text[:40]!r} is no number.")
    return int(text)
