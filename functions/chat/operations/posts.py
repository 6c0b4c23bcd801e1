"""What is written for operators, before it is a platform's."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from functions.chat.assistant.conversation import Button
from functions.chat.operations.orders import COMMAND

LONGEST_PLAIN = 4_000  # characters of the text, before the words to type


@dataclass(frozen=True, slots=True)
class Post:
    """`field` asks for a reason beside the buttons, `terminal` says how it is done without a platform.

    As an answer: `done` takes the place of the message whose button was pressed, which has nothing left to ask; what
    is not done is for the person alone. `form` is the button that wants a reason before it counts.
    """

    text: str
    buttons: tuple[Button, ...] = ()
    field: bool = False
    terminal: str = ""
    done: bool = False
    form: str = ""

    def to_document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Post":
        return cls(**{**document, "buttons": tuple(Button(**each) for each in document["buttons"])})

    @property
    def plain(self) -> str:
        """Where there are no buttons: with the words to type in their place, and the command for a terminal."""
        typed = [f"{button.label}: `{typed_for(button)}`" for button in self.buttons]
        last = [f"In a terminal: `{self.terminal}`"] if self.terminal else []
        return "\n".join([self.text[:LONGEST_PLAIN], *typed, *last])


def typed_for(button: Button) -> str:
    verb, _, value = button.value.partition(":")
    model, _, rest = value.partition("/")
    words = [COMMAND, verb, *filter(None, (model, rest)), *(["<why>"] if verb in ("approve", "reject") else [])]
    return " ".join(words)
