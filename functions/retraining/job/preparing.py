"""Rows that no memory holds, as numbers for XGBoost: read twice, in pieces, and written as many files.

The first reading checks every row, counts, and draws a sample: from it come the report, the categories, and the moment
from which rows are held out. The second writes the training rows, and keeps some of both kinds for what follows.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson

from functions.retraining.data import of_spec
from functions.retraining.data.badrows import BadRows
from functions.retraining.data.checks import checked
from functions.retraining.data.chunk import Chunk, Opened
from functions.retraining.data.collecting import collect
from functions.retraining.data.columns import Column
from functions.retraining.data.leakage import leaks
from functions.retraining.data.names import extra_columns, missing_columns
from functions.retraining.data.report import Report
from functions.retraining.data.source import Source
from functions.retraining.data.summaries import summarised
from functions.retraining.data.validation import Validation, opened, shares, unreadable
from functions.retraining.job.folders import Folders
from functions.retraining.job.request import OUTCOME, Request, Told
from functions.retraining.job.training import opened as opened_job
from functions.retraining.recipes import feeding, load, xgboost
from functions.retraining.recipes.encoding import Encoding
from functions.retraining.recipes.split import training_of
from functions.retraining.steps import report_on
from functions.retraining.table import Table
from functions.retraining.work import Job, keep, problem
from lastmile.errors import DataRefused, LastmileError
from lastmile.tensors import Array

PIECE = 16  # chunks of a file that are one table
SAMPLE_ROWS = 200_000
SHARD_ROWS = 250_000
LARGEST = 3.4e38  # of a float32, but for its last digits
FEWEST_SHARDS = 8  # at least one for each machine that learns
ENCODING = "encoding.json"


def prepare(folders: Folders) -> None:
    request = Request.from_bytes(folders.file("request").read_bytes())
    job = opened_job(request, folders.model)
    (folders.model / OUTCOME).write_bytes(prepared(job, folders).to_bytes())


def prepared(job: Job, folders: Folders) -> Told:
    upload = folders.file("upload")
    try:
        load(job.spec)
        first = _first_reading(job, upload)
        facts = {"validate": report_on(job, first.validation, _digest(upload))}
        facts["prepare"] = _written(job, upload, first, folders.checkpoints)
    except LastmileError as error:
        return Told({}, problem("validate", error))
    return Told(facts)


@dataclass
class Sample:
    """Of rows that go by, each with the same chance; the chance halves whenever there are too many."""

    most: int
    random: np.random.Generator
    tables: list[Table] = field(default_factory=list)
    chance: float = 1.0
    rows: int = 0

    def add(self, table: Table) -> None:
        self.tables.append(self._thinned(table, self.chance))
        self.rows += self.tables[-1].rows
        while self.rows > self.most:
            self.chance /= 2
            self.tables = [self._thinned(one, 0.5) for one in self.tables]
            self.rows = sum(one.rows for one in self.tables)

    def table(self) -> Table:
        return _joined(self.tables)

    def _thinned(self, table: Table, chance: float) -> Table:
        return table if chance == 1.0 else table.take(self.random.random(table.rows) < chance)


@dataclass(frozen=True)
class First:
    """What the first reading found; `newest` is the time from which rows are held out, where there is one."""

    validation: Validation
    sample: Table
    rows: int
    newest: float | None


def _first_reading(job: Job, upload: Path) -> First:
    name = Path(job.run.upload.key).name
    try:
        return _read(job, upload, name)
    except DataRefused as refusal:
        return First(unreadable(name, job.spec, refusal), Table({}), 0, None)


def _read(job: Job, upload: Path, name: str) -> First:
    spec, plan = job.spec, training_of(job.spec)
    sample, bad, rows = Sample(SAMPLE_ROWS, np.random.default_rng(plan.seed)), BadRows(), 0
    columns, classes = of_spec(spec), Counter[Any]()
    with upload.open("rb") as stream:
        file = opened(Source(stream), columns)
        findings = list(missing_columns(file.names, columns))
        if not findings:
            for table, some in _pieces(file, columns):
                rows += table.rows
                bad.merge(some)
                sample.add(table)
                if spec.task == "classification":
                    classes.update(table[str(plan.target)].tolist())
    drawn = sample.table() if rows else Table({})
    if not findings:
        findings = shares(rows, bad, spec)
    if not findings:
        findings = [*checked(drawn, columns, spec, classes=classes), *leaks(drawn, columns, spec)]
    ignored = tuple(extra_columns(file.names, columns))
    summaries = tuple(summarised(drawn, columns)) if drawn.rows else ()
    report = Report(spec.name, name, file.form, rows, bad, tuple(findings), summaries, ignored)
    newest = None
    if plan.time is not None and drawn.rows:
        newest = float(np.quantile(drawn[plan.time], 1 - plan.holdout))
    return First(Validation(report, drawn), drawn, rows, newest)


def _written(job: Job, upload: Path, first: First, shards: Path) -> dict[str, Any]:
    spec, plan = job.spec, training_of(job.spec)
    if first.validation.refusal is not None:
        raise first.validation.refusal
    encoding = Encoding.of(feeding.feeds(first.sample, spec.inputs), spec.inputs, xgboost.Options.read(spec).derived)
    random = np.random.default_rng(plan.seed + 1)
    most = max(1, (job.desk.most_cells or 0) // len(first.sample.columns))
    training, unseen = Sample(most, random), Sample(most, random)
    writer = _Shards(shards, min(SHARD_ROWS, int(0.9 * first.rows * (1 - plan.holdout)) // FEWEST_SHARDS))
    counted = [0, 0]
    with upload.open("rb") as stream:
        columns = of_spec(spec)
        for table, _ in _pieces(opened(Source(stream), columns), columns):
            if first.newest is None:
                aside = random.random(table.rows) < plan.holdout
            else:
                aside = table[str(plan.time)] >= first.newest
            learnt = table.take(~aside)
            labels = xgboost.targets(learnt[str(plan.target)], spec)
            writer.add(labels, encoding.matrix(feeding.feeds(learnt, spec.inputs)))
            for rows, sample in ((learnt, training), (table.take(aside), unseen)):
                sample.add(rows)
            counted = [counted[0] + learnt.rows, counted[1] + table.rows - learnt.rows]
    if not all(counted):
        raise DataRefused(f"{first.rows} rows cannot be divided into training rows and held-out rows", "Upload more.")
    keep(job, "training.bin", training.table().to_bytes())
    keep(job, "held-out.bin", unseen.table().to_bytes())
    known = {name: list(texts) for name, texts in encoding.categories.items()}
    keep(job, ENCODING, orjson.dumps({"categories": known}))
    told = xgboost.hyperparameters(spec, encoding)
    return {
        "training_rows": counted[0],
        "held_out_rows": counted[1],
        "shards": writer.close(),
        "hyperparameters": told,
    }


class _Shards:
    """CSV as XGBoost's container reads it: no header, the label first, nothing where a value is missing."""

    def __init__(self, folder: Path, rows: int) -> None:
        self._folder, self._rows = folder, max(1, rows)
        self._file: BinaryIO | None = None
        self._left = self._count = 0

    def add(self, labels: Array, matrix: Array) -> None:
        start = 0
        while start < len(labels):
            if not self._left:
                self._next()
            end = start + min(self._left, len(labels) - start)
            assert self._file is not None
            self._file.write(_lines(labels[start:end], matrix[start:end]))
            self._left -= end - start
            start = end

    def close(self) -> int:
        """How many there are."""
        if self._file is not None:
            self._file.close()
        return self._count

    def _next(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = (self._folder / f"part-{self._count:05d}.csv").open("wb")
        self._count, self._left = self._count + 1, self._rows


def _lines(labels: Array, matrix: Array) -> bytes:
    """Nine digits tell every float32 from its neighbours. XGBoost refuses endless ones, such as ratios to zero: to its
    trees they are as good as the largest."""
    rows = np.column_stack([labels, np.clip(matrix.astype(float), -LARGEST, LARGEST)])
    pattern = ",".join(["%.9g"] * rows.shape[1])
    text = "\n".join(pattern % tuple(row) for row in rows.tolist()) + "\n"
    return text.replace("nan", "").encode()


def _pieces(file: Opened, columns: Sequence[Column]) -> Iterator[tuple[Table, BadRows]]:
    """Some chunks at a time as a table of their own; every column has the same type in all of them."""
    names = [column.name for column in columns if column.name in file.names]
    chunks = file.chunks(names)
    while some := list(islice(chunks, PIECE)):
        table, bad = collect(Opened(file.form, file.names, _these(some), file.decimal), columns)
        yield Table({name: _wide(column) for name, column in table.columns.items()}), bad


def _these(chunks: list[Chunk]) -> Callable[[Sequence[str]], Iterator[Chunk]]:
    return lambda _: iter(chunks)


def _wide(column: Array) -> Array:
    """Whole numbers in one piece may be none in the next."""
    return column.astype(float) if column.dtype.kind == "i" else column


def _joined(tables: Sequence[Table]) -> Table:
    names = tables[0].columns
    return Table({name: np.concatenate([table[name] for table in tables]) for name in names})


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
