"""What somebody is likely to want next, from what they and others wanted before (implicit feedback).

Every item that somebody has speaks once for the items that it is linked to; to these comes what is popular now. How the
links and the weight of popularity are learnt is in preferences.py.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from functions.retraining.data.columns import Column
from functions.retraining.recipes import tensors
from functions.retraining.recipes.contract import Examples
from functions.retraining.recipes.graph import Graph, each, encoder
from functions.retraining.recipes.preferences import REMEMBERED, SEEN, Events, Options, chosen, linked, spoken
from functions.retraining.recipes.probing import ODD_TEXTS
from functions.retraining.recipes.split import default as split
from functions.retraining.recipes.split import training_of
from functions.retraining.table import Table
from lastmile.errors import InvalidSpec
from lastmile.spec import ModelSpec
from lastmile.tensors import Array, TensorSpec

__all__ = ["check", "columns", "examples", "fit", "split", "whole"]

whole = True  # inputs come from earlier rows: none may be left out

PROBED = 200  # items
MOST_SHOWN = 5_000_000  # items in the histories of all held-out users together, or the latest ones of each


def check(spec: ModelSpec) -> None:
    tensors.check_task(spec, "recommender", "recommendation")
    options = Options.read(spec)
    if training_of(spec).target is not None:
        raise InvalidSpec("training.target: the recipe 'recommender' has none")
    if options.user == options.item:
        raise InvalidSpec("training.options.item: must be another column than the user's")
    shapes = {"history": 2, "user": 1}
    for index, tensor in enumerate(spec.inputs):
        if tensor.name not in shapes or tensor.datatype != "BYTES" or len(tensor.shape) != shapes[tensor.name]:
            raise InvalidSpec(f"inputs[{index}]: must be 'history' BYTES [-1, -1] or 'user' BYTES [-1]")
    if "history" not in {tensor.name for tensor in spec.inputs}:
        raise InvalidSpec("inputs: 'history' is missing")
    lengths = {tensor.shape[1:] for tensor in spec.outputs}
    if len(lengths) != 1 or any(length < (1,) for length in lengths):
        raise InvalidSpec("outputs: 'items' and 'scores' must both have the shape [-1, n]")


def columns(spec: ModelSpec) -> tuple[Column, ...]:
    options, time = Options.read(spec), training_of(spec).time
    named = [Column(options.user, "text", "other"), Column(options.item, "text", "other")]
    return (*named, *([] if time is None else [Column(time, "time", "time")]))


def examples(rows: Table, spec: ModelSpec, *, training: Table) -> Examples:
    """A row for each user of the held-out rows: the items of the training rows, oldest first, and what was new then."""
    earlier, later = _by_user(training, spec), _by_user(rows, spec)
    had = {user: frozenset(items) for user, items in earlier.items()}
    wanted = {user: [item for item in items if item not in had.get(user, ())] for user, items in later.items()}
    users = [user for user, items in wanted.items() if items]
    tensor = next(tensor for tensor in spec.inputs if tensor.name == "history")
    longest = max((len(earlier.get(user, ())) for user in users), default=1)
    # One with an endless history would make that of everybody as wide.
    shown = min(max(longest, 1), max(REMEMBERED, MOST_SHOWN // max(len(users), 1)))
    history = np.full((len(users), tensor.shape[1] if tensor.shape[1] > 0 else shown), "", object)
    truth = np.empty(len(users), object)
    for row, user in enumerate(users):
        items = earlier.get(user, [])[-history.shape[1] :]
        history[row, : len(items)] = items
        truth[row] = wanted[user]
    feeds = {"history": history, "user": np.array([*users, ""], object)[:-1]}
    return Examples({tensor.name: feeds[tensor.name] for tensor in spec.inputs}, {"items": truth}, {})


@dataclass(frozen=True, eq=False)
class Recommender:
    """`links[i]` are the places of the items that item i speaks for, `strengths[i]` how much; the last row, of any item
    beyond, speaks for none. `users` have the places of their own latest training items."""

    spec: ModelSpec
    items: tuple[str, ...]
    links: Array
    strengths: Array
    popularity: Array
    users: dict[str, Array]

    @property
    def wanted(self) -> int:
        return next(tensor.shape[1] for tensor in self.spec.outputs if tensor.name == "items")

    @cached_property
    def onnx(self) -> bytes:
        graph, count = Graph(), len(self.items)
        seen = encoder(graph, "history", self.items, np.int64, count)
        if self._by_user:
            row = encoder(graph, "user", self.users, np.int64, len(self.users))
            seen = graph.add("Concat", seen, graph.add("Gather", graph.constant(self._own), row), axis=1)
        best, places = self._add_best(graph, seen)
        is_left = graph.add("Greater", best, graph.constant(SEEN / 2))
        graph.named("scores", "Where", is_left, best, graph.constant(0.0, np.float32))
        names = graph.constant([*self.items, *[""] * max(self.wanted - count, 1)], object)
        named = graph.add("Gather", names, places)
        graph.named("items", "Where", is_left, named, graph.constant("", object))
        return graph.model(self.spec.inputs, self.spec.outputs, "recommender")

    def predict(self, feeds: dict[str, Array]) -> dict[str, Array]:
        history = feeds["history"].tolist()
        users = feeds["user"].tolist() if self._by_user else [""] * len(history)
        items = np.full((len(history), self.wanted), "", object)
        found = np.zeros(items.shape, np.float32)
        for row, (user, texts) in enumerate(zip(users, history, strict=True)):
            best, scores = self._best(user, texts)
            items[row, : len(best)] = [self.items[place] for place in best]
            found[row, : len(best)] = scores
        return {"items": items, "scores": found}

    def probes(self, seed: int) -> dict[str, Array]:
        """Every kind of history: none, one item each, many, some twice, unknown ones, odd texts."""
        random = np.random.default_rng(seed)
        single = random.permutation(len(self.items))[:PROBED].tolist()
        lists = [[], [*ODD_TEXTS], *([self.items[place]] for place in single)]
        several = [random.integers(0, len(self.items), count).tolist() for count in (2, 5, 20, 20)]
        lists += [[self.items[place] for place in places] for places in several]
        fixed = next(tensor.shape[1] for tensor in self.spec.inputs if tensor.name == "history")
        width = fixed if fixed > 0 else max(map(len, lists))
        history = np.full((len(lists), width), "", object)
        for row, texts in enumerate(lists):
            history[row, : len(texts)] = texts[:width]
        users = np.array([*self.users, *ODD_TEXTS], object)
        feeds = {"history": history, "user": users[random.integers(0, len(users), len(lists))]}
        return {tensor.name: feeds[tensor.name] for tensor in self.spec.inputs}

    def _add_best(self, graph: Graph, seen: str) -> list[str]:
        """Scores and places, best first."""
        count = len(self.items)
        start = graph.constant(np.append(self.popularity, SEEN))  # what is unknown is never recommended, either
        links, strengths = graph.constant(self.links), graph.constant(self.strengths)
        flat, never = graph.integers(-1), graph.constant(SEEN)
        absent, true = graph.constant(np.zeros(len(self.links), bool)), graph.constant(True)

        def best_of(inner: Graph, row: str) -> list[str]:
            its = rows = inner.add("Gather", seen, row, axis=0)
            if len(self.links) <= count:
                rows = inner.add("Min", rows, inner.constant(len(self.links) - 1, np.int64))
            length = inner.add("Shape", its)
            there = inner.add("ScatterElements", absent, rows, inner.add("Expand", true, length), axis=0)
            once = inner.add("NonZero", there)
            where = inner.add("Reshape", inner.add("Gather", links, once), flat)
            strength = inner.add("Reshape", inner.add("Gather", strengths, once), flat)
            scores = inner.add("ScatterElements", start, where, strength, axis=0, reduction="add")
            blocked = inner.add("Expand", never, length)
            left = inner.add("ScatterElements", scores, its, blocked, axis=0)
            if self.wanted > count + 1:
                left = inner.add("Pad", left, inner.integers(0, self.wanted - count - 1), never)
            return inner.several("TopK", left, inner.integers(self.wanted), count=2, axis=0)

        wanted = (self.wanted,)
        outputs = TensorSpec("each_best", "FP32", wanted), TensorSpec("each_places", "INT64", wanted)
        return each(graph, seen, best_of, outputs)

    def _best(self, user: str, history: list[str]) -> tuple[Array, Array]:
        """Places and scores, best first."""
        seen = [self._places[item] for item in history if item in self._places]
        seen += self.users[user].tolist() if user in self.users else []
        scores = np.append(self.popularity, 0).astype(float)
        spoken(np.array(seen, np.int64), self.links, self.strengths, scores)
        left = np.setdiff1d(np.arange(len(self.items)), seen)
        best = left[np.lexsort((left, -scores[left]))][: self.wanted]
        return best, scores[best]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {item: place for place, item in enumerate(self.items)}

    @property
    def _by_user(self) -> bool:
        return "user" in {tensor.name for tensor in self.spec.inputs}

    @cached_property
    def _own(self) -> Array:
        """The users' items beside each other, and a last row without any, for who is unknown."""
        longest = max(map(len, self.users.values()), default=1)
        table = np.full((len(self.users) + 1, longest), len(self.items), np.int64)
        for row, places in enumerate(self.users.values()):
            table[row, : len(places)] = places
        return table


def fit(training: Table, spec: ModelSpec) -> Recommender:
    options, plan = Options.read(spec), training_of(spec)
    wanted = next(tensor.shape[1] for tensor in spec.outputs if tensor.name == "items")
    half_life, share = chosen(training, spec, options, wanted)
    events = Events.of(training, options, plan.time)
    links, strengths = linked(events, options)
    popularity = (share * events.popularity(half_life)).astype(np.float32)
    by_user = "user" in {tensor.name for tensor in spec.inputs}
    return Recommender(spec, events.items, links, strengths, popularity, events.latest() if by_user else {})


def _by_user(table: Table, spec: ModelSpec) -> dict[str, list[str]]:
    """Each user's items, oldest first, once each."""
    options, time = Options.read(spec), training_of(spec).time
    order = np.arange(table.rows) if time is None else np.argsort(table[time], kind="stable")
    found: dict[str, dict[str, None]] = {}
    for user, item in zip(table[options.user][order].tolist(), table[options.item][order].tolist(), strict=True):
        if item:
            found.setdefault(user, {})[item] = None
    return {user: list(items) for user, items in found.items()}
