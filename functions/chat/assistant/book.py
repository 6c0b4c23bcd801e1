"""What the assistant knows and may do, as `models/tickets/assistant.toml` and `faq.toml` say it."""

import csv
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import orjson

from functions.chat.assistant.retrieval import Retrieval
from functions.chat.assistant.words import Words, words_pattern
from lastmile.errors import InvalidSpec

STRICT = {"extra": "forbid"}
CATALOGUE = "recommendations/catalogue.csv"
ASKED_OF_PRODUCTS = (
    "{name}",
    "tell me about the {name}",
    "how heavy is the {name}",
    "what is the weight of the {name}",
    "what does the {name} cost",
    "is the {name} waterproof",
)


LONGEST_TIMEOUT = 8.0  # seconds; a message has to be done in less than the worker's time
LONGEST_ID = 50  # bytes: an entry's id is part of its buttons' values, of which Telegram takes 64
TOLD_QUEUE = ("routed", "handover", "handover_upset", "handover_topic", "failed", "attachment")
NAMES = {"which": {"first", "second"}} | {name: {"queue"} for name in TOLD_QUEUE}  # what a sentence may have in braces


@dataclass(frozen=True)
class Thresholds:
    """From `answer` on an entry is given as the answer; from `maybe` on two entries that are less than `close` apart
    are asked about. `route` is the confidence from which on a team's queue is trusted."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    answer: float
    maybe: float
    close: float
    route: float


@dataclass(frozen=True)
class Question:
    """A frequent question: `variants` are other ways of asking it, `question` is what a choice shows."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    id: str
    team: str
    question: str
    variants: tuple[str, ...]
    answer: str


@dataclass(frozen=True)
class Product:
    """What is said of an item of the catalogue."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    item: str
    facts: str


@dataclass(frozen=True)
class Parameter:
    """What an action needs to know: found in the text by `pattern`, else asked for."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    pattern: str
    ask: str


@dataclass(frozen=True)
class Action:
    """A matter that one HTTP request resolves. `url` and `body` may name parameters in braces; `done` may name members
    of the answer, which must have those of `answer` with these JSON types."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    id: str
    question: str
    variants: tuple[str, ...]
    method: Literal["GET", "POST"]
    url: str
    done: str
    parameters: dict[str, Parameter] = field(default_factory=dict)
    body: dict[str, str] = field(default_factory=dict)
    answer: dict[str, Literal["string", "number", "boolean"]] = field(default_factory=dict)
    confirm: str | None = None
    unknown: str | None = None  # said when the service answers 404
    timeout_seconds: float = 3.0


@dataclass(frozen=True)
class Topic:
    """What policy gives to a person at once, whatever the assistant might know: one of the words is in the text.
    `say` is said before the handover is."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    id: str
    words: tuple[str, ...]
    queue: str
    priority: str
    say: str | None = None

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return words_pattern(self.words)


@dataclass(frozen=True)
class Book:
    """`says` are the assistant's own sentences by name; `languages` are fixed sentences for those it does not speak;
    `called` says what customers are told of a queue whose name is the house's own."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    model: str
    speaks: tuple[str, ...]
    unsure_queue: str
    transcript_turns: int
    thresholds: Thresholds
    called: dict[str, str]
    says: dict[str, str]
    languages: dict[str, str]
    words: Words
    topics: tuple[Topic, ...]
    actions: tuple[Action, ...]
    questions: tuple[Question, ...]

    @classmethod
    def open(cls, folder: Path) -> "Book":
        """Raises InvalidSpec naming the file and what is wrong in it."""
        faq = _toml(folder / "faq.toml")
        facts = _valid(list[Product], faq.get("products", []), f"{folder}/faq.toml: products")
        questions = [*faq.get("questions", []), *_products(facts, folder.parent / CATALOGUE)]
        book = _valid(cls, {**_toml(folder / "assistant.toml"), "questions": questions}, str(folder))
        problems = [*_problems(book)]
        if problems:
            raise InvalidSpec(f"{folder}: {'; '.join(problems)}")
        return book

    @property
    def known(self) -> tuple[Question | Action, ...]:
        """Everything that a question can be about."""
        return (*self.questions, *self.actions)

    @cached_property
    def retrieval(self) -> Retrieval:
        return Retrieval([(item.id, text) for item in self.known for text in (item.question, *item.variants)])

    @cached_property
    def by_id(self) -> Mapping[str, Question | Action]:
        return {item.id: item for item in self.known}


def _valid[Shape](shape: type[Shape], document: object, where: str) -> Shape:
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(shape).validate_json(orjson.dumps(document), strict=True)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}" for wrong in error.errors()[:10])
        raise InvalidSpec(f"{where}: {found}") from None


def _products(facts: list[Product], catalogue: Path) -> Iterator[dict[str, Any]]:
    """A question about each product that something is said of, under its name in the catalogue."""
    try:
        rows = {row["item"]: row for row in csv.DictReader(catalogue.read_text(encoding="utf-8").splitlines())}
    except OSError as error:
        raise InvalidSpec(f"{catalogue} cannot be read: {error.strerror}") from error
    for product in facts:
        row = rows.get(product.item)
        if row is None:
            raise InvalidSpec(f"faq.toml: products: {catalogue.name} has no item {product.item!r}")
        name = row["name"]
        yield {
            "id": f"product-{product.item.lower()}",
            "team": "product",
            "question": f"What is the {name} like?",
            "variants": [wording.format(name=name) for wording in ASKED_OF_PRODUCTS],
            "answer": f"{name}, {row['price']} euros: {product.facts}",
        }


def _problems(book: Book) -> Iterator[str]:
    names = [item.id for item in book.known]
    yield from (f"{name}: is there more than once" for name in sorted({n for n in names if names.count(n) > 1}))
    yield from (f"{name}: is longer than {LONGEST_ID} bytes" for name in names if len(name.encode()) > LONGEST_ID)
    for action in book.actions:
        yield from (f"actions.{action.id}.{problem}" for problem in _action_problems(action))
    yield from (f"says.{name}: missing" for name in sorted(SAYS - book.says.keys()))
    yield from (f"says.{name}: unknown key" for name in sorted(book.says.keys() - SAYS))
    for name, text in book.says.items():
        yield from (f"says.{name}: there is no {{{word}}}" for word in sorted(named(text) - NAMES.get(name, set())))


def _action_problems(action: Action) -> Iterator[str]:
    if not 0 < action.timeout_seconds <= LONGEST_TIMEOUT:
        yield f"timeout_seconds: {action.timeout_seconds:g} is not within 0 and {LONGEST_TIMEOUT:g}"
    for name, parameter in action.parameters.items():
        try:
            re.compile(parameter.pattern)
        except re.error as error:
            yield f"parameters.{name}: {error}"
    sent = "".join((action.url, *action.body.values(), *(parameter.ask for parameter in action.parameters.values())))
    for name in sorted(named(sent + (action.confirm or "")) - action.parameters.keys() - {"base"}):
        yield f"parameters: there is no {{{name}}}"
    for name in sorted(named(action.unknown or "") - action.parameters.keys()):
        yield f"unknown: there is no {{{name}}}"
    for name in sorted(named(action.done) - action.parameters.keys() - action.answer.keys()):
        yield f"done: {{{name}}} is neither a parameter nor in the answer"


def named(template: str) -> set[str]:
    """The names in braces."""
    return set(re.findall(r"{(\w+)}", template))


SAYS = frozenset(
    {
        "greeting",
        "which",
        "unsure",
        "routed",
        "handover",
        "handover_upset",
        "handover_topic",
        "cancelled",
        "failed",
        "not_helpful",
        "glad",
        "helpful",
        "attachment",
        "edited",
        "waiting",
    }
)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidSpec(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSpec(f"{path} is no TOML: {error}") from error
