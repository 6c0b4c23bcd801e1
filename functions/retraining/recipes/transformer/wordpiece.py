"""Texts to word pieces: the longest known piece first, in Python and, with the same result, in a graph.

The algorithm is WordPiece as BERT has it (Devlin et al. 2018, https://arxiv.org/abs/1810.04805). In the graph every
piece is a number of 64 bits, a polynomial of its characters, so that pieces of all lengths at all places are looked up
at once; one pass over the places then says where pieces begin.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from onnx import numpy_helper

from functions.retraining.recipes.graph import Graph, encoder
from functions.retraining.recipes.ngrams import POWER
from functions.retraining.recipes.transformer.characters import FIRST, GONE, OTHER, SPACE, Characters
from lastmile.tensors import Array, TensorSpec

LONGEST_WORD = 100  # characters; a longer one is unknown
MORE = "##"  # before a piece that goes on with a word
PADDING, UNKNOWN, START, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
NONE = -1


@dataclass(frozen=True)
class WordPieces:
    """`vocabulary[n]` has the id n. At most `longest` characters of a text are looked at, and `most` pieces of them."""

    vocabulary: tuple[str, ...]
    most: int
    longest: int = 1000

    @cached_property
    def ids(self) -> dict[str, int]:
        return {piece: number for number, piece in enumerate(self.vocabulary)}

    @cached_property
    def pieces(self) -> dict[tuple[bool, str], int]:
        """Whether it goes on with a word, and its characters, to the id."""
        special = {PADDING, UNKNOWN, START, END, "[MASK]"}
        return {
            (piece.startswith(MORE) and piece != MORE, piece.removeprefix(MORE) or piece): number
            for piece, number in self.ids.items()
            if piece not in special and not piece.startswith("[unused")
        }

    @cached_property
    def characters(self) -> Characters:
        return Characters.of(piece for _, piece in self.pieces)

    @cached_property
    def widest(self) -> int:
        return max(len(piece) for _, piece in self.pieces)

    def tokens(self, texts: list[str]) -> Array:
        """int64 [texts, length]: ids from START to END, then PADDING."""
        rows = [[self.ids[START], *self._pieces(text)[: self.most - 2], self.ids[END]] for text in texts]
        found = np.full((len(rows), max(map(len, rows), default=2)), self.ids[PADDING], np.int64)
        for row, ids in enumerate(rows):
            found[row, : len(ids)] = ids
        return found

    def _pieces(self, text: str) -> list[int]:
        return [number for word in self._words(text[: self.longest]) for number in self._of_word(word)]

    def _words(self, text: str) -> list[str]:
        """In the characters of the pieces; what no piece holds is the private character of its code."""
        words, word = [], ""
        for code in self.characters.codes(text):
            char = self.characters.letters[code - FIRST] if code >= FIRST else chr(0xE000 + code)
            if code == SPACE or self.characters.single[code]:
                words += [word] if word else []
                word = ""
            if code != SPACE and self.characters.single[code]:
                words.append(char)
            elif code != SPACE:
                word += char
        return [*words, word] if word else words

    def _of_word(self, word: str) -> list[int]:
        found, start = [], 0
        while start < len(word) <= LONGEST_WORD:
            ends = range(min(len(word), start + self.widest), start, -1)
            end = next((end for end in ends if (start > 0, word[start:end]) in self.pieces), None)
            if end is None:
                break
            found.append(self.pieces[start > 0, word[start:end]])
            start = end
        return found if start == len(word) else [self.ids[UNKNOWN]]

    def add(self, graph: Graph, texts: str) -> str:
        """The same in the graph: `texts` is [-1], and one of them at least has a character."""
        codes = self._add_codes(graph, texts)
        zero, axis = graph.constant(0, np.int64), graph.constant(1, np.int64)
        is_char = graph.add("Not", graph.add("Equal", codes, graph.constant(SPACE, np.int64)))
        single = graph.add("Gather", graph.constant(self.characters.single), codes)
        before = graph.integers(0, 1, 0, 0)
        shifted = [
            graph.add("Pad", graph.slice(graph.cast(flag, "INT64"), 0, -1, 1), before, zero)
            for flag in (is_char, single)
        ]
        goes_on = graph.add("And", *(graph.cast(flag, "BOOL") for flag in (shifted[0], is_char)))
        alone = graph.add("Or", single, graph.cast(shifted[1], "BOOL"))
        begins = graph.add("And", is_char, graph.add("Or", graph.add("Not", goes_on), alone))
        word = graph.add("CumSum", graph.cast(begins, "INT64"), axis)
        ids, lengths = self._add_longest(graph, codes, is_char, begins, word)
        starts, broken = _add_starts(graph, begins, is_char, lengths)
        wrong = graph.add("Or", _of_words(graph, broken, word), self._add_too_long(graph, is_char, word))
        right = graph.add("And", graph.add("Not", wrong), starts)
        there = graph.add("Or", graph.add("And", wrong, begins), right)
        unknown = graph.constant(self.ids[UNKNOWN], np.int64)
        return self._add_rows(graph, there, graph.add("Where", wrong, unknown, ids))

    def _add_codes(self, graph: Graph, texts: str) -> str:
        """int64 [texts, places], with spaces behind; what vanishes is gone."""
        chars = graph.add(
            "Tokenizer", texts, domain="com.microsoft", mark=0, mincharnum=1, pad_value=" ", separators=[""]
        )
        cut = graph.slice(chars, 0, self.longest, 1)
        known = self.characters.known
        codes = encoder(graph, cut, known, np.int64, OTHER, [*known.values()])
        kept = graph.add("Not", graph.add("Equal", codes, graph.constant(GONE, np.int64)))
        return _packed(graph, kept, codes, SPACE)

    def _add_longest(self, graph: Graph, codes: str, is_char: str, begins: str, word: str) -> tuple[str, str]:
        """For each place the longest piece that begins there: its id and its length, 0 where there is none."""
        rng = np.random.default_rng(0)
        numbers = rng.integers(1, 1 << 62, len(self.characters.letters) + FIRST) * 2 + 1
        powers, inverses = _powers(self.longest + 1)
        salt = [0, int(rng.integers(1, 1 << 62))]  # of pieces that go on with a word
        code = {letter: number for number, letter in enumerate(self.characters.letters, FIRST)}
        keys = np.array(
            [_number([int(numbers[code[char]]) for char in piece], salt[more]) for more, piece in self.pieces],
            np.uint64,
        ).view(np.int64)
        zero, one, axis = graph.constant(0, np.int64), graph.constant(1, np.int64), graph.constant(1, np.int64)
        length = graph.add("Shape", codes, start=1, end=2)
        first, columns = graph.integers(0), graph.integers(0)
        power, inverse = (graph.add("Slice", graph.constant(row), first, length, columns) for row in (powers, inverses))
        terms = graph.add("Mul", graph.add("Gather", graph.constant(numbers), codes), power)
        sums = graph.add("Pad", graph.add("CumSum", terms, axis), graph.integers(0, 1, 0, 0), zero)
        # [places, lengths]: where a piece of that length ends, and whether that is inside the text
        places = graph.add("Range", zero, graph.add("Squeeze", length), one)
        ends = graph.add(
            "Add", graph.add("Unsqueeze", places, graph.integers(1)), graph.constant(np.arange(1, self.widest + 1))
        )
        inside = graph.add("LessOrEqual", ends, length)
        upto = graph.add("Min", ends, length)
        column = graph.integers(2)
        behind = graph.add("Unsqueeze", graph.slice(sums, 0, -1, 1), column)
        span = graph.add("Sub", graph.add("Gather", sums, upto, axis=1), behind)
        scaled = graph.add("Mul", span, graph.add("Unsqueeze", inverse, graph.integers(1)))
        salts = graph.add("Where", begins, zero, graph.constant(salt[1], np.int64))
        key = graph.add("Add", scaled, graph.add("Unsqueeze", salts, column))
        found = graph.add(
            "LabelEncoder",
            key,
            domain="ai.onnx.ml",
            keys_tensor=numpy_helper.from_array(keys),
            values_tensor=numpy_helper.from_array(np.array([*self.pieces.values()], np.int64)),
            default_tensor=numpy_helper.from_array(np.array([NONE], np.int64)),
        )
        # A piece ends in the word where it begins.
        tagged = graph.add("Where", is_char, word, graph.constant(NONE, np.int64))
        same = graph.add(
            "Equal",
            graph.add("Gather", tagged, graph.add("Sub", upto, one), axis=1),
            graph.add("Unsqueeze", word, column),
        )
        valid = graph.add(
            "And", graph.add("And", same, inside), graph.add("Greater", found, graph.constant(NONE, np.int64))
        )
        sizes = graph.add("Where", valid, graph.constant(np.arange(1, self.widest + 1)), zero)
        longest = graph.add("ReduceMax", sizes, graph.integers(2), keepdims=1)
        chosen = graph.add("GatherElements", found, graph.add("Max", graph.add("Sub", longest, one), zero), axis=2)
        return graph.add("Squeeze", chosen, column), graph.add("Squeeze", longest, column)

    def _add_too_long(self, graph: Graph, is_char: str, word: str) -> str:
        counts = _of_words(graph, is_char, word, sums=True)
        return graph.add("Greater", counts, graph.constant(LONGEST_WORD, np.int64))

    def _add_rows(self, graph: Graph, there: str, ids: str) -> str:
        """START, the ids that are there, END, padding."""
        cls, end, padding = (self.ids[name] for name in (START, END, PADDING))
        one = graph.constant(1, np.int64)
        packed = graph.slice(_packed(graph, there, ids, padding), 0, self.most - 2, 1)
        counts = graph.add("ReduceSum", graph.cast(there, "INT64"), graph.integers(1), keepdims=1)
        counts = graph.add("Min", counts, graph.constant(self.most - 2, np.int64))
        padded = graph.add("Pad", packed, graph.integers(0, 1, 0, 1), graph.constant(padding, np.int64))
        last = graph.add("Add", counts, one)
        width = graph.add("Squeeze", graph.add("Shape", padded, start=1, end=2))
        places = graph.add("Range", graph.constant(0, np.int64), width, one)
        at_first = graph.add("Equal", places, graph.constant(0, np.int64))
        opened = graph.add("Where", at_first, graph.constant(cls, np.int64), padded)
        closed = graph.add("Where", graph.add("Equal", places, last), graph.constant(end, np.int64), opened)
        longest = graph.add("Add", graph.add("ReduceMax", last, keepdims=0), one)
        columns = graph.add("Unsqueeze", longest, graph.integers(0))
        return graph.add("Slice", closed, graph.integers(0), columns, graph.integers(1))


def _number(numbers: list[int], salt: int) -> int:
    found = sum(number * pow(POWER, place, 1 << 64) for place, number in enumerate(numbers))
    return (found + salt) % (1 << 64)


def _powers(count: int) -> tuple[Array, Array]:
    """Of POWER and of its inverse modulo 2^64."""
    inverse = pow(POWER, -1, 1 << 64)
    rows = [[pow(base, place, 1 << 64) for place in range(count)] for base in (POWER % (1 << 64), inverse)]
    powers, inverses = np.array(rows, np.uint64).view(np.int64)
    return powers, inverses


def _packed(graph: Graph, kept: str, values: str, otherwise: int) -> str:
    """What is kept of each row, one after the other, `otherwise` behind it; at least one column."""
    one = graph.constant(1, np.int64)
    ranks = graph.add("CumSum", graph.cast(kept, "INT64"), one)
    width = graph.add("Max", graph.add("ReduceMax", ranks, keepdims=0), one)
    # What is not kept goes to one place too many, which is cut off.
    places = graph.add("Where", kept, graph.add("Sub", ranks, one), width)
    columns = graph.add("Unsqueeze", graph.add("Add", width, one), graph.integers(0))
    shape = graph.add("Concat", graph.add("Shape", values, start=0, end=1), columns, axis=0)
    empty = graph.add("Expand", graph.constant(otherwise, np.int64), shape)
    return graph.slice(graph.add("ScatterElements", empty, places, values, axis=1), 0, -1, 1)


def _of_words(graph: Graph, flags: str, word: str, *, sums: bool = False) -> str:
    """For each place how many of its word's places have the flag, or whether any has."""
    shape = graph.add("Shape", word)
    wider = graph.add("Add", shape, graph.integers(0, 1))
    empty = graph.add("Expand", graph.constant(0, np.int64), wider)
    counted = graph.add("ScatterElements", empty, word, graph.cast(flags, "INT64"), axis=1, reduction="add")
    counts = graph.add("GatherElements", counted, word, axis=1)
    return counts if sums else graph.add("Greater", counts, graph.constant(0, np.int64))


def _add_starts(graph: Graph, begins: str, is_char: str, lengths: str) -> tuple[str, str]:
    """Where pieces start, and where one should but none is known; from left to right."""
    inner = Graph("place_")
    due = inner.add("Equal", "place_next", "place_here")
    starts = inner.add("And", "place_is_char", inner.add("Or", "place_begins", due))
    none = inner.add("Equal", "place_length", inner.constant(0, np.int64))
    reached = inner.add("Add", "place_here", "place_length")
    after = inner.add("Where", none, inner.constant(NONE, np.int64), reached)
    inner.named("place_after", "Where", starts, after, "place_next")
    inner.named("place_starts", "Identity", starts)
    inner.named("place_broken", "And", starts, none)
    body = inner.body(
        [
            TensorSpec("place_next", "INT64", (-1,)),
            TensorSpec("place_here", "INT64", ()),
            TensorSpec("place_begins", "BOOL", (-1,)),
            TensorSpec("place_is_char", "BOOL", (-1,)),
            TensorSpec("place_length", "INT64", (-1,)),
        ],
        [
            TensorSpec("place_after", "INT64", (-1,)),
            TensorSpec("place_starts", "BOOL", (-1,)),
            TensorSpec("place_broken", "BOOL", (-1,)),
        ],
        "places",
    )
    zero, one = graph.constant(0, np.int64), graph.constant(1, np.int64)
    rows = graph.add("Shape", begins, start=0, end=1)
    first = graph.add("Expand", graph.constant(NONE, np.int64), rows)
    length = graph.add("Squeeze", graph.add("Shape", begins, start=1, end=2))
    here = graph.add("Range", zero, length, one)
    _, starts, broken = graph.several(
        "Scan",
        first,
        here,
        begins,
        is_char,
        lengths,
        count=3,
        body=body,
        num_scan_inputs=4,
        scan_input_axes=[0, 1, 1, 1],
        scan_output_axes=[1, 1],
    )
    return starts, broken
