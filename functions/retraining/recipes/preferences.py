"""Who wanted what: which items speak for which others, and how much popularity counts, learnt from the rows.

Items are linked by a linear model that predicts each item from all others (EASE: Steck 2019, "Embarrassingly shallow
autoencoders for sparse data"), of which each item keeps its strongest links.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from functions.retraining.recipes.options import RecipeOptions
from functions.retraining.recipes.split import drawn, newest, training_of
from functions.retraining.table import Table
from lastmile.errors import DataRefused
from lastmile.spec import ModelSpec
from lastmile.tensors import Array

DAY = 86_400.0
HALF_LIVES = (3.0, 10.0, 30.0, 120.0, np.inf)  # days
SHARES = (0.02, 0.1, 0.3, 1.0, 3.0)  # of popularity in a score
LINKED = 1500  # items that are linked to others, the most popular ones
CHOSEN_BY = 1000  # users
CELLS = 10_000_000  # scores at once
REMEMBERED = 50  # items of a user that the graph knows by itself
ASIDE = 0.2
SEEN = np.float32(-1e30)


class Options(NamedTuple):
    user: str
    item: str
    fewest: int
    links: int
    penalty: float

    @classmethod
    def read(cls, spec: ModelSpec) -> "Options":
        options = RecipeOptions.of(spec)
        found = cls(
            options.text("user", "user"),
            options.text("item", "item"),
            options.whole("fewest", 2, low=1),
            options.whole("links", 100, low=1, high=1000),
            options.number("penalty", 100.0, low=0.1, high=1e6),
        )
        options.close("recommender")
        return found


class Events(NamedTuple):
    """Who (`row`) wanted which of the `items` (`place`), once each, and when; the most popular item comes first."""

    users: tuple[str, ...]
    items: tuple[str, ...]
    row: Array
    place: Array
    at: Array

    @classmethod
    def of(cls, table: Table, options: Options, time: str | None) -> "Events":
        users, row = _sorted(table[options.user])
        names, place = _sorted(table[options.item])
        at = np.zeros(table.rows) if time is None else table[time].astype(float)
        latest = np.lexsort((at, place, row))  # of one user's rows with an item the last counts
        last = np.append((np.diff(row[latest]) != 0) | (np.diff(place[latest]) != 0), True)[: len(latest)]
        row, place, at = (part[latest][last] for part in (row, place, at))
        counts = np.bincount(place, minlength=len(names))
        kept = np.flatnonzero((counts >= options.fewest) & (names != ""))
        kept = kept[np.lexsort((kept, -counts[kept]))]
        if not len(kept):
            raise DataRefused(
                f"no item was wanted by {options.fewest} users", "Upload more rows, or lower training.options.fewest."
            )
        number = np.full(len(names), -1)
        number[kept] = np.arange(len(kept))
        known = number[place] >= 0
        return cls(tuple(users.tolist()), tuple(names[kept].tolist()), row[known], number[place[known]], at[known])

    def popularity(self, half_life: float) -> Array:
        """Of the most popular item 1; what lies `half_life` days back counts half."""
        age = (self.at.max() - self.at) / DAY
        weight = np.exp2(-age / half_life)
        found = np.bincount(self.place, weight, len(self.items))
        return np.asarray(found / found.max())

    def latest(self) -> dict[str, Array]:
        """Places of the latest items of each user."""
        order = np.lexsort((-self.at, self.row))
        parts = np.split(self.place[order], np.flatnonzero(np.diff(self.row[order])) + 1)
        names = [self.users[row] for row in np.unique(self.row).tolist()]
        return {name: part[:REMEMBERED] for name, part in zip(names, parts, strict=True) if name}

    def matrix(self, count: int) -> csr_matrix:
        """float64 [users, the first `count` items]."""
        some = self.place < count
        ones = np.ones(int(some.sum()))
        return csr_matrix((ones, (self.row[some], self.place[some])), shape=(len(self.users), count))


def _sorted(texts: Array) -> tuple[Array, Array]:
    """The different texts, and the place of each row's among them. They stay objects: as numpy's own texts all would be
    as long as the longest."""
    column = texts.tolist()
    names = sorted(set(column))
    places = {name: place for place, name in enumerate(names)}
    return np.array([*names, ""], object)[:-1], np.fromiter(map(places.__getitem__, column), np.int64, len(column))


def linked(events: Events, options: Options) -> tuple[Array, Array]:
    """The strongest links of each linked item, and a last row for any other: places int64 and strengths float32."""
    count = min(LINKED, len(events.items))
    together = events.matrix(count)
    with threadpool_limits(1):
        gram = (together.T @ together).toarray()
        gram[np.diag_indices(count)] += options.penalty
        inverse = np.linalg.inv(gram)
    strength = -inverse / np.diag(inverse)
    strength[np.diag_indices(count)] = 0
    width = min(options.links, count)
    strongest = np.sort(np.argsort(-np.abs(strength), axis=1, kind="stable")[:, :width], axis=1)
    links = np.full((count + 1, width), len(events.items), np.int64)
    strengths = np.zeros(links.shape, np.float32)
    links[:count] = strongest
    strengths[:count] = np.take_along_axis(strength, strongest, axis=1)
    return links, strengths


def spoken(seen: Array, links: Array, strengths: Array, scores: Array) -> None:
    """Add to the scores what the items seen speak for, each of them once."""
    rows = np.unique(np.minimum(seen, len(links) - 1))
    np.add.at(scores, links[rows], strengths[rows])


def chosen(training: Table, spec: ModelSpec, options: Options, wanted: int) -> tuple[float, float]:
    """The half-life and the share of popularity with the best recall on the newest training rows."""
    plan = training_of(spec)
    aside = newest(training[plan.time], ASIDE) if plan.time else drawn(training.rows, ASIDE, plan.seed)
    if aside.all() or not aside.any():
        return HALF_LIVES[-1], SHARES[1]
    known = training.take(~aside)
    events = Events.of(known, options, plan.time)
    links, strengths = linked(events, options)
    history, wants = _later(events, training.take(aside), options, plan.seed)
    half_lives = HALF_LIVES if plan.time else HALF_LIVES[-1:]
    popularity = {half_life: np.append(events.popularity(half_life), 0).astype(np.float32) for half_life in half_lives}
    recalls: dict[tuple[float, float], list[float]] = {(one, share): [] for one in half_lives for share in SHARES}
    block = max(1, CELLS // len(events.items))
    for start in range(0, len(history), block):
        known_to, wanting = history[start : start + block], wants[start : start + block]
        scores = np.zeros((len(known_to), len(events.items) + 1), np.float32)
        for row, places in enumerate(known_to):
            spoken(places, links, strengths, scores[row])
        for (half_life, share), found in recalls.items():
            found += _recalls(scores + np.float32(share) * popularity[half_life], known_to, wanting, wanted)
    return max(recalls, key=lambda setting: (float(np.mean(recalls[setting] or [0.0])), *setting))


def _later(events: Events, rows: Table, options: Options, seed: int) -> tuple[list[Array], list[set[int]]]:
    """Of some users: the places of what they wanted before, and of what is new in the rows."""
    places = {item: place for place, item in enumerate(events.items)}
    numbers = {user: number for number, user in enumerate(events.users)}
    before: dict[int, list[int]] = {}
    for row, place in zip(events.row.tolist(), events.place.tolist(), strict=True):
        before.setdefault(row, []).append(place)
    wants: dict[str, set[int]] = {}
    for user, item in zip(rows[options.user].tolist(), rows[options.item].tolist(), strict=True):
        wants.setdefault(user, set()).add(places.get(item, -1))
    users = sorted(wants)
    users = [users[number] for number in np.random.default_rng(seed).permutation(len(users))[:CHOSEN_BY].tolist()]
    history = [np.array(before.get(numbers.get(user, -1), []), np.int64) for user in users]
    return history, [wants[user] - set(seen.tolist()) for user, seen in zip(users, history, strict=True)]


def _recalls(scores: Array, history: list[Array], wants: list[set[int]], wanted: int) -> list[float]:
    """At `wanted` places, of each row that wants something; changes `scores`."""
    scores = scores[:, :-1]
    for row, places in enumerate(history):
        scores[row, places] = SEEN
    count = min(wanted, scores.shape[1])
    best = np.argpartition(-scores, count - 1, axis=1)[:, :count].tolist()
    return [len(want & set(found)) / len(want) for want, found in zip(wants, best, strict=True) if want]
