"""Which of the known questions is a text most like? Word and letter n-grams, weighted by how rare they are."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lastmile.tensors import Array

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
WORD_GRAMS = (1, 2)
LETTER_GRAMS = (3, 4, 5)
LETTER_SHARE = 0.6  # of the similarity; the rest is of whole words
NEAREST = 3  # wordings of an entry that count, on average: one alone may be near by chance
FIRST_SHARE = 0.25  # of the score that the nearest has for itself: who asks in its very words means that entry


@dataclass(frozen=True, slots=True)
class Match:
    """An entry and its cosine similarity, 0 to 1."""

    entry: str
    score: float


class Retrieval:
    """An inverted index over wordings, each of an entry. Ready in seconds for ten thousand, answers in milliseconds.

    Term frequency is logarithmic and inverse document frequency smoothed, as in scikit-learn's TfidfVectorizer, with an
    entry for a document: what all wordings of one entry share tells it from the others, and is not common. Words and
    letters are normalised apart, so that neither drowns the other.
    """

    def __init__(self, wordings: Sequence[tuple[str, str]]) -> None:
        """`wordings` are pairs of an entry's name and one way of asking for it."""
        counted = [Counter(grams(text)) for _, text in wordings]
        self.entries = sorted({entry for entry, _ in wordings})
        place = {entry: index for index, entry in enumerate(self.entries)}
        self._entry = np.array([place[entry] for entry, _ in wordings], np.int64)
        self._nearest = np.minimum(np.bincount(self._entry, minlength=len(self.entries)), NEAREST)
        found = {(entry, gram) for (entry, _), one in zip(wordings, counted, strict=True) for gram in one}
        frequency = Counter(gram for _, gram in found)
        count = 1 + len(self.entries)
        self._rarity = {gram: math.log(count / (1 + times)) + 1 for gram, times in frequency.items()}
        self._unknown = math.log(count) + 1
        rows: dict[str, list[int]] = {}
        weights: dict[str, list[float]] = {}
        for row, one in enumerate(counted):
            for gram, weight in self._weighted(one):
                rows.setdefault(gram, []).append(row)
                weights.setdefault(gram, []).append(weight)
        self._postings = {gram: (np.array(rows[gram]), np.array(weights[gram])) for gram in rows}

    def matches(self, text: str, *, most: int = 3) -> list[Match]:
        """The nearest entries, nearest first; none where nothing is shared."""
        if not self.entries:
            return []
        scores = self._scores(self._similarities(text))
        order = np.argsort(-scores, kind="stable")[:most]
        return [Match(self.entries[index], float(scores[index])) for index in order if scores[index] > 0]

    def _similarities(self, text: str) -> Array:
        """Of the text with each wording."""
        found = np.zeros(len(self._entry))
        for gram, weight in self._weighted(Counter(grams(text))):
            posting = self._postings.get(gram)
            if posting is not None:
                found[posting[0]] += weight * posting[1]
        return found

    def _scores(self, similarities: Array) -> Array:
        """Of each entry: the mean over its nearest wordings, and a share for the very nearest."""
        order = np.lexsort((-similarities, self._entry))
        starts = np.concatenate([[0], np.cumsum(np.bincount(self._entry))[:-1]])
        ranked = similarities[order]
        sums = np.zeros(len(self.entries))
        for rank in range(NEAREST):
            there = self._nearest > rank
            sums[there] += ranked[starts[there] + rank]
        scores: Array = FIRST_SHARE * ranked[starts] + (1 - FIRST_SHARE) * sums / self._nearest
        return scores

    def _weighted(self, counted: Counter[str]) -> Iterator[tuple[str, float]]:
        for kind, share in (("w", 1 - LETTER_SHARE), ("l", LETTER_SHARE)):
            part = {
                gram: (1 + math.log(times)) * self._rarity.get(gram, self._unknown)
                for gram, times in counted.items()
                if gram[0] == kind
            }
            length = math.sqrt(sum(weight * weight for weight in part.values()))
            for gram, weight in part.items():
                yield gram, weight / length * math.sqrt(share)


def grams(text: str) -> Iterator[str]:
    """Runs of words, and runs of letters inside of each word with its borders; `w` and `l` tell them apart."""
    words = WORD.findall(text.lower())
    for size in WORD_GRAMS:
        for start in range(len(words) - size + 1):
            yield "w" + " ".join(words[start : start + size])
    for word in words:
        bordered = f" {word} "
        for size in LETTER_GRAMS:
            for start in range(len(bordered) - size + 1):
                yield "l" + bordered[start : start + size]
