"""Texts to n-grams, each a number of 64 bits: the same integer arithmetic in numpy and in the graph.

An n-gram is a polynomial of its characters' numbers, modulo 2^64. So the graph needs no table of strings and no
locale, and a row of text takes it some tens of microseconds. Character n-grams do not cross white space, which counts
as their first and last character; words are runs of letters and digits.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from functions.retraining.recipes.alphabet import OTHER, SPACE, Alphabet
from functions.retraining.recipes.graph import Graph, encoder
from lastmile.tensors import Array

MULTIPLIER = 6364136223846793005  # odd; Knuth's, of MMIX
POWER = -7046029254386353131  # odd: 2^64 divided by the golden ratio
CHUNK = 1024  # texts at once


@dataclass(frozen=True)
class Analyser:
    alphabet: Alphabet
    sizes: tuple[int, ...]  # of the character n-grams, ascending, from 2 on
    words: int  # the longest word n-gram
    longest: int  # characters of a text that are looked at

    @cached_property
    def numbers(self) -> Array:
        """What each code is in the polynomials."""
        return np.random.default_rng(0).integers(1, 1 << 62, len(self.alphabet.letters) + 2) * 2 + 1

    @cached_property
    def powers(self) -> Array:
        """Powers of POWER, by the place of a character, and of its inverse modulo 2^64."""
        inverse = pow(POWER, -1, 1 << 64)
        places = range(self.longest + 2)
        rows = [[pow(number, place, 1 << 64) for place in places] for number in (POWER % (1 << 64), inverse)]
        return np.array(rows, np.uint64).view(np.int64)

    def ngrams(self, texts: list[str]) -> tuple[Array, Array]:
        """Of characters and of words: int64 [texts, places], 0 where there is none."""
        codes = self.alphabet.codes(texts, self.longest)
        return self._of_characters(codes), self._of_words(codes)

    def _of_characters(self, codes: Array) -> Array:
        numbers, spaces = self.numbers[codes], (codes == SPACE).cumsum(axis=1)
        found, rolling, length = [], numbers, codes.shape[1]
        for size in range(2, max(self.sizes) + 1):
            width = length - size + 1
            if width < 1:
                break
            rolling = rolling[:, :width] * MULTIPLIER + numbers[:, size - 1 :]
            if size in self.sizes:
                inside = spaces[:, size - 2 : length - 1] - spaces[:, :width]
                edges = (codes[:, :width] == SPACE) & (codes[:, size - 1 :] == SPACE)
                found.append(np.where((inside > 0) | (edges if size == 2 else False), 0, rolling))
        return np.concatenate(found, axis=1) if found else np.zeros((len(codes), 1), np.int64)

    def _of_words(self, codes: Array) -> Array:
        inside = self.alphabet.in_words[codes]
        powers, inverses = self.powers[:, : codes.shape[1]]
        sums = (np.where(inside, self.numbers[codes], 0) * powers).cumsum(axis=1)
        ends = inside[:, :-1] & ~inside[:, 1:]
        width = max(int(ends.sum(axis=1).max(initial=0)), 1)
        row, place = np.nonzero(ends)
        rank = ends.cumsum(axis=1)[row, place] - 1
        upto, scale = np.zeros((2, len(codes), width), np.int64)
        upto[row, rank], scale[row, rank] = sums[row, place], inverses[place]
        before = np.concatenate([np.zeros((len(codes), 1), np.int64), upto[:, :-1]], axis=1)
        single = (upto - before) * scale
        found, rolling = [single], single
        for size in range(2, min(self.words, width) + 1):
            following = single[:, size - 1 :]
            rolling = np.where(following == 0, 0, rolling[:, : width - size + 1] * MULTIPLIER + following)
            found.append(rolling)
        return np.concatenate(found, axis=1)

    def add(self, graph: Graph, texts: str) -> tuple[str, str]:
        """The same in the graph; `texts` is [-1]."""
        known = self.alphabet.known
        more = graph.add(
            "StringConcat", texts, graph.constant(" ", object)
        )  # a tokenizer cannot be given empty ones only
        chars = graph.add(
            "Tokenizer", more, domain="com.microsoft", mark=0, mincharnum=1, pad_value=" ", separators=[""]
        )
        cut = graph.slice(chars, 0, self.longest, 1)
        inner = encoder(graph, cut, known, np.int64, OTHER, [*known.values()])
        codes = graph.add("Pad", inner, graph.integers(0, 1, 0, 1), graph.constant(SPACE, np.int64))
        numbers = graph.add("Gather", graph.constant(self.numbers), codes)
        return self._add_characters(graph, codes, numbers), self._add_words(graph, codes, numbers)

    def _add_characters(self, graph: Graph, codes: str, numbers: str) -> str:
        zero, axis = graph.constant(0, np.int64), graph.constant(1, np.int64)
        multiplier = graph.constant(MULTIPLIER, np.int64)
        # Texts shorter than the longest n-gram: more spaces give only n-grams that do not count.
        widest = max(self.sizes)
        padding = graph.integers(0, 0, 0, widest)
        numbers = graph.add("Pad", numbers, padding, zero)
        codes = graph.add("Pad", codes, padding, graph.constant(SPACE, np.int64))
        blank = graph.add("Equal", codes, graph.constant(SPACE, np.int64))
        spaces = graph.add("CumSum", graph.cast(blank, "INT64"), axis)
        found, rolling = [], numbers
        for size in range(2, widest + 1):
            following = _from(graph, numbers, size - 1)
            rolling = graph.add("Add", graph.add("Mul", _but(graph, rolling, 1), multiplier), following)
            if size not in self.sizes:
                continue
            if size == 2:
                empty = graph.add("And", _but(graph, blank, 1), _from(graph, blank, 1))
            else:
                last = _but(graph, _from(graph, spaces, size - 2), 1)
                inside = graph.add("Sub", last, _but(graph, spaces, size - 1))
                empty = graph.add("Greater", inside, zero)
            found.append(graph.add("Where", empty, zero, rolling))
        return graph.add("Concat", *found, axis=1)

    def _add_words(self, graph: Graph, codes: str, numbers: str) -> str:
        zero, axis = graph.constant(0, np.int64), graph.constant(1, np.int64)
        inside = graph.add("Gather", graph.constant(self.alphabet.in_words), codes)
        length = graph.add("Shape", codes, start=1, end=2)
        start, columns = graph.integers(0), graph.integers(0)
        powers, inverses = (graph.add("Slice", graph.constant(row), start, length, columns) for row in self.powers)
        terms = graph.add("Mul", graph.add("Where", inside, numbers, zero), powers)
        sums = graph.add("CumSum", terms, axis)
        outside = graph.add(
            "Pad", graph.add("Not", _from(graph, inside, 1)), graph.integers(0, 0, 0, 1), graph.constant(True)
        )
        ends = graph.add("And", inside, outside)
        ranks = graph.add("CumSum", graph.cast(ends, "INT64"), axis)
        one = graph.constant(1, np.int64)
        width = graph.add("Max", graph.add("ReduceMax", ranks, keepdims=0), one)
        # What is no end goes to one place too many, which is cut off.
        places = graph.add("Where", ends, graph.add("Sub", ranks, one), width)
        shape = graph.add(
            "Concat",
            graph.add("Shape", codes, start=0, end=1),
            graph.add("Unsqueeze", graph.add("Add", width, one), graph.integers(0)),
            axis=0,
        )
        empty = graph.add("Expand", zero, shape)
        upto = _but(graph, graph.add("ScatterElements", empty, places, sums, axis=1), 1)
        spread = graph.add("Expand", inverses, graph.add("Shape", codes))
        scale = _but(graph, graph.add("ScatterElements", empty, places, spread, axis=1), 1)
        before = graph.add("Pad", _but(graph, upto, 1), graph.integers(0, 1, 0, 0), zero)
        single = graph.add("Mul", graph.add("Sub", upto, before), scale)
        found, rolling = [single], single
        multiplier = graph.constant(MULTIPLIER, np.int64)
        for size in range(2, self.words + 1):
            following = _from(graph, single, size - 1)
            joined = graph.add("Add", graph.add("Mul", _but(graph, rolling, 1), multiplier), following)
            rolling = graph.add("Where", graph.add("Equal", following, zero), zero, joined)
            found.append(rolling)
        return graph.add("Concat", *found, axis=1) if len(found) > 1 else single


def _from(graph: Graph, matrix: str, start: int) -> str:
    return graph.slice(matrix, start, 1 << 30, 1)


def _but(graph: Graph, matrix: str, last: int) -> str:
    """Without the last columns."""
    return graph.slice(matrix, 0, -last, 1)
