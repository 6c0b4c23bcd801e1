"""Send a text to a team's queue with a priority, or to the people who sort it out where the model is unsure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from lastmile.decision.options import Options
from lastmile.decision.policy import (
    Arrays,
    Context,
    Decide,
    Decided,
    Feature,
    as_answered,
    feature_of,
    output_of,
    percent,
    probabilities_of,
)
from lastmile.tensors import Array, Signature

WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Route:
    """Sure: the best class has a probability of `sure_from` and is `margin` ahead of the next.

    A queue's priority rises by one where the text has one of `urgent_words`, up to the last of `priorities`.
    """

    context: ClassVar[tuple[str, ...]] = ()

    classes: tuple[str, ...]
    queues: Mapping[str, str]  # by class
    levels: Mapping[str, int]  # of each queue, as a place in `priorities`
    priorities: tuple[str, ...]
    unsure: str
    sure_from: float
    margin: float
    text: Feature | None
    urgent_words: frozenset[str]
    reviewed: frozenset[str]

    @classmethod
    def read(cls, options: Options, signature: Signature) -> Self:
        output = output_of(signature, "probabilities", "route", columns=True)
        classes = output.columns
        queues = _queues(options, classes)
        unsure = options.text("unsure", "unsure")
        if unsure in queues.values():
            raise options.wrong("unsure", f"'{unsure}' is a team's queue")
        every = list(dict.fromkeys([*queues.values(), unsure]))
        priorities = options.texts("priorities", ("normal", "high"))
        if not priorities:
            raise options.wrong("priorities", "at least one is needed")
        text, words = _urgency(options, signature)
        return cls(
            classes=classes,
            queues=queues,
            levels=_levels(options, every, priorities),
            priorities=priorities,
            unsure=unsure,
            sure_from=as_answered(options.share("sure_from", 0.5), output),
            margin=options.share("margin", 0.0),
            text=text,
            urgent_words=words,
            reviewed=options.some_of("review", every),
        )

    def prepare(self, feeds: Arrays, context: Context) -> Decide:
        rows = len(next(iter(feeds.values())))
        texts = [""] * rows if self.text is None else list(map(_text, self.text.values(feeds)))

        def decide(outputs: Arrays) -> list[Decided]:
            probabilities = probabilities_of(outputs)
            return [self.decided(row, text) for row, text in zip(probabilities, texts, strict=True)]

        return decide

    def decided(self, probabilities: Array, text: str = "") -> Decided:
        ranked = np.argsort(-probabilities, kind="stable")[:2].tolist()
        best = self.classes[ranked[0]]
        confidence = float(probabilities[ranked[0]])
        second = float(probabilities[ranked[1]]) if len(ranked) > 1 else 0.0
        reasons = [f"'{best}' is the most likely with {percent(confidence)}."]
        queue = self.queues[best]
        if confidence < self.sure_from:
            queue = self.unsure
            reasons.append(f"Below {percent(self.sure_from)} the policy calls that unsure.")
        elif confidence - second < self.margin:
            queue = self.unsure
            reasons.append(
                f"'{self.classes[ranked[1]]}' has {percent(second)}: closer than {percent(self.margin)} is unsure."
            )
        priority, word = self._priority(queue, text)
        raised = "" if word is None else f", raised by the word '{word}'"
        reasons.append(f"It goes to '{queue}' with priority {priority}{raised}.")
        details = {
            "queue": queue,
            "priority": priority,
            "confidence": round(confidence, 6),
            "likely": [
                {"class": self.classes[index], "probability": round(float(probabilities[index]), 6)} for index in ranked
            ],
        }
        return Decided(queue, tuple(reasons), details, queue in self.reviewed)

    def _priority(self, queue: str, text: str) -> tuple[str, str | None]:
        """And the word that raised it."""
        level = self.levels[queue]
        found = next((word for word in WORD.findall(text.lower()) if word in self.urgent_words), None)
        if found is None or level == len(self.priorities) - 1:
            return self.priorities[level], None
        return self.priorities[level + 1], found


def _queues(options: Options, classes: tuple[str, ...]) -> dict[str, str]:
    """The queue of each class: its own name, or what the spec says instead."""
    named = Options(options.table("queues"), "decision.options.queues")
    queues = {name: named.text(name, name) for name in classes}
    named.close("queues")
    return queues


def _levels(options: Options, queues: list[str], priorities: tuple[str, ...]) -> dict[str, int]:
    named = Options(options.table("priority"), "decision.options.priority")
    levels = {queue: priorities.index(named.one_of(queue, priorities, priorities[0])) for queue in queues}
    named.close("priority")
    return levels


def _urgency(options: Options, signature: Signature) -> tuple[Feature | None, frozenset[str]]:
    words = options.texts("urgent_words")
    for word in words:
        if WORD.fullmatch(word) is None or word != word.lower():
            raise options.wrong("urgent_words", f"{word!r} is not one word in lower case")
    if not words:
        return None, frozenset()
    return feature_of(signature, options.text("text", "text"), "text", text=True), frozenset(words)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
