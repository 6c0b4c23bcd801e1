"""The assistant on public sets of real questions: which team, which known question, and when it is unsure.

The code is the chat's own: a route policy over the text recipe's graph by the predictor, the declared book's words and
thresholds, and the retrieval. What a house knows is the set's: the book has no questions, actions, topics and
pleasantries of the shop, and its queues are the set's intents. Everything is one message of a new conversation.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.metrics import matthews_corrcoef

from benchmarks import real_data
from benchmarks.real_data import FOLDER, LABEL, Prepared
from functions.chat.assistant.assistant import Assistant
from functions.chat.assistant.book import Book
from functions.chat.assistant.conversation import Conversation, Reading, Turn
from functions.chat.assistant.language import language_of
from functions.chat.assistant.retrieval import Retrieval
from functions.chat.message import Incoming
from functions.chat.team import Team
from functions.retraining.recipes import load
from functions.retraining.table import Table
from lastmile.model import OnnxModel
from lastmile.policies import Decision
from lastmile.predictor import Predictor
from lastmile.registry import Registry
from lastmile.store import Store
from layers.uv import ROOT

BOTS = {"powerplay11": 0.425, "curekart": 0.603, "sofmattress": 0.638}  # the best published MCC of each
NOTHING = "NO_NODES_DETECTED"
GRID = np.arange(0.05, 0.96, 0.01)  # thresholds
WANTED = 0.91  # of the validation rows' accuracy: a little above what is promised of the test rows
MODEL = "measured"

type Rows = list[tuple[str, str]]


@dataclass(frozen=True)
class Routed:
    """What became of a text: `done` is routed, asked or handed over; `intent` the model's first choice."""

    done: str
    intent: str
    confidence: float


class Support:
    """An assistant whose queues are the intents of these rows."""

    def __init__(self, prepared: Prepared) -> None:
        """Trains the text recipe, and registers its graph with a policy that leaves the sureness to the book."""
        spec = replace(prepared.spec, decision=Decision("route", {"sure_from": 0.0}))
        data = load(spec).fit(prepared.training, spec).onnx
        registry = Registry(Store.open("memory://", environ={}))
        signature = OnnxModel.open(data, threads=1).signature
        manifest = registry.push(
            spec, data, signature=signature, actor="bench", why="bench", metrics={}, lineage={}, compression={}
        )
        registry.promote(MODEL, manifest.version, actor="bench", why="bench")
        self._team = Team(Predictor(registry, threads=1), MODEL, warn=print)
        book = Book.open(ROOT / "models/tickets")
        words = replace(book.words, thanks=(), greeting=())
        self._book = replace(book, questions=(), actions=(), topics=(), words=words)

    def answered(self, texts: Iterable[str], *, route: float | None = None) -> list[Routed]:
        """`route` takes the place of the declared threshold."""
        least = self._book.thresholds.route if route is None else route
        book = replace(self._book, thresholds=replace(self._book.thresholds, route=least))
        assistant = Assistant(book)
        return [self._answered(assistant, text, str(number)) for number, text in enumerate(texts)]

    def _answered(self, assistant: Assistant, text: str, name: str) -> Routed:
        message = Incoming(
            platform="standard", event_id=name, conversation=name, kind="message", user="u", text=text, at=0.0
        )
        matches = tuple(assistant.book.retrieval.matches(text))
        reading = Reading(language_of(text), matches, self._team.of(text, name))
        assert reading.routing is not None
        turn = assistant.respond(Conversation(name), message, reading)
        return Routed(done(turn), reading.routing.queue, reading.routing.confidence)


def done(turn: Turn) -> str:
    return "asked" if turn.ticket is None else "handed over" if turn.ticket.handover else "routed"


@dataclass(frozen=True)
class Banking:
    """Shares of the test messages; `right` of those that were routed, `accuracy` of the first choice of all."""

    accuracy: float
    routed: float
    right: float
    asked: float
    handed_over: float
    messages: int


def banking77() -> Banking:
    (prepared,) = real_data.banking77()
    texts, wanted = prepared.held_out["text"].tolist(), prepared.held_out["category"].tolist()
    found = Support(prepared).answered(texts)
    correct = [one.intent == intent for one, intent in zip(found, wanted, strict=True)]
    right = [is_right for one, is_right in zip(found, correct, strict=True) if one.done == "routed"]
    shares = Counter(one.done for one in found)
    count = len(found)
    return Banking(
        accuracy=float(np.mean(correct)),
        routed=shares["routed"] / count,
        right=float(np.mean(right)),
        asked=shares["asked"] / count,
        handed_over=shares["handed over"] / count,
        messages=count,
    )


@dataclass(frozen=True)
class Scope:
    """`accuracy` counts what is in scope and not routed as wrong; `recall` is of what is out of scope."""

    threshold: float
    accuracy: float
    recall: float


def clinc150() -> Scope:
    """The threshold is the highest that keeps the accuracy of the validation rows; the test rows are looked at once."""
    document = json.loads((FOLDER / "clinc150/data_full.json").read_bytes())
    support = Support(_clinc(document["train"]))
    known = [(text, intent) for text, intent in document["val"]]
    threshold = highest(support.answered([text for text, _ in known], route=0.0), [intent for _, intent in known])
    inside = support.answered([text for text, _ in document["test"]], route=threshold)
    outside = support.answered([text for text, _ in document["oos_test"]], route=threshold)
    return Scope(
        threshold=threshold,
        accuracy=accuracy(inside, [intent for _, intent in document["test"]]),
        recall=float(np.mean([one.done != "routed" for one in outside])),
    )


def accuracy(found: Sequence[Routed], wanted: Sequence[str], *, least: float = 0.0) -> float:
    pairs = zip(found, wanted, strict=True)
    return float(
        np.mean([one.done == "routed" and one.confidence >= least and one.intent == intent for one, intent in pairs])
    )


def highest(found: Sequence[Routed], wanted: Sequence[str]) -> float:
    """Threshold that leaves the accuracy at what is wanted; the lowest where none does."""
    kept = [float(least) for least in GRID if accuracy(found, wanted, least=least) >= WANTED]
    return max(kept, default=float(GRID[0]))


def _clinc(rows: list[list[str]]) -> Prepared:
    names = sorted({intent for _, intent in rows})
    inputs = [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    outputs = [
        LABEL | {"datatype": "BYTES"},
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(names)], "columns": names},
    ]
    training = {"recipe": "text", "target": "category"}
    spec = real_data.spec_of("classification", inputs, outputs, training)
    texts, intents = (real_data.texts(row[place] for row in rows) for place in (0, 1))
    table = Table({"text": texts, "category": intents})
    return Prepared(spec, table, table)


@dataclass(frozen=True)
class Bot:
    """`best` over all thresholds, as the published figure is; `blind` at the one that is best for the other bots."""

    best: float
    blind: float
    published: float


def hint3() -> dict[str, Bot]:
    curves = {bot: curve(_hint3(f"{bot}_train"), _hint3(f"{bot}_test")) for bot in BOTS}
    return {
        bot: Bot(
            best=max(curves[bot]),
            blind=curves[bot][int(np.argmax(np.sum([curves[other] for other in BOTS if other != bot], axis=0)))],
            published=published,
        )
        for bot, published in BOTS.items()
    }


def curve(known: Rows, asked: Rows) -> list[float]:
    """Matthews correlation of the retrieval's first choice at each threshold of the grid."""
    retrieval = Retrieval([(label, text) for text, label in known])
    first = [next(iter(retrieval.matches(text, most=1)), None) for text, _ in asked]
    wanted = [label for _, label in asked]
    return [
        float(matthews_corrcoef(wanted, [NOTHING if one is None or one.score < least else one.entry for one in first]))
        for least in GRID
    ]


def _hint3(name: str) -> Rows:
    with (FOLDER / f"hint3_faq/v1/{name}.csv").open(encoding="utf-8", newline="") as file:
        return [(row["sentence"], row["label"]) for row in csv.DictReader(file)]
