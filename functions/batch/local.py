"""A batch on this machine: one thread reads, the others predict and write parts, and the parts become one file."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from functions.batch import results
from functions.batch.files import Csv, Parquet, Slice, opened
from functions.batch.parted import restored, store
from functions.batch.progress import Parts, Progress
from functions.batch.results import PREFIX, Format, Layout, Writer
from functions.batch.scoring import Scorer, check_decides
from functions.batch.sides import Opening, Sides, here
from lastmile.errors import InvalidInput
from lastmile.predictor import Predictor
from lastmile.registry import Registry
from lastmile.ulid import new_ulid

MEASURED_ROWS = 16_384
SUFFIXES: dict[str, Format] = {".csv": "csv", ".parquet": "parquet"}


@dataclass(frozen=True, slots=True)
class Job:
    model: str
    input: Path
    output: Path
    version: int | None = None
    keep: tuple[str, ...] = ()
    decides: bool = False
    batch_rows: int | None = None
    workers: int | None = None

    @property
    def format(self) -> Format:
        if self.output.suffix not in SUFFIXES:
            raise InvalidInput(f"{self.output.name} ends neither in {' nor in '.join(SUFFIXES)}")
        return SUFFIXES[self.output.suffix]

    @property
    def errors(self) -> Path:
        return self.output.with_name(f"{self.output.name}.errors.jsonl")


class State(NamedTuple):
    """Of a job: rows done, the bad ones among them, the share of the file, and how many were there already."""

    rows: int
    bad: int
    share: float
    found: int
    version: int
    batch_rows: int


class Done(NamedTuple):
    number: int
    table: pa.Table
    bad: int
    share: float
    is_new: bool


type Tell = Callable[[State], None]


def run(job: Job, registry: Registry, *, uri: str, tell: Tell) -> State:
    """Raises InvalidInput for what cannot be done; a job that was cut short goes on where it stopped."""
    kind, parts = job.format, Parts.beside(job.output)
    if not job.input.is_file():
        raise InvalidInput(f"there is no file {job.input}")
    if job.output.exists() and not (parts.folder / "progress.json").exists():
        raise InvalidInput(f"{job.output} exists already: name another --output, or remove it")
    with parts.alone(), pa.OSFile(str(job.input)) as file:  # Arrow reads its own files without asking Python
        begun = parts.begun()
        if begun is not None and (difference := begun.differs(asked(job, uri, begun))) is not None:
            raise InvalidInput(f"{parts.folder} holds parts of another job ({difference}); remove it to begin anew")
        version = begun.version if begun is not None else job.version
        scorer = scoring(job, registry, version)
        served = scorer.served
        table = opened(file, job.input.name, scorer.inputs, job.keep, size=job.input.stat().st_size)
        scorer.layout(table.keep).check(kind)
        slices = table.slices(file)
        if begun is None:
            speed, slices = (job.batch_rows, slices) if job.batch_rows else measured(scorer, table, slices)
            made = Progress(job.model, uri, served.version, new_ulid()[:PREFIX], speed, "", 0, 0, None, (), False)
            begun = asked(job, uri, made)
            parts.begin(begun)
        work = Work(replace(scorer, batch_rows=begun.batch_rows), table, parts, begun.prefix)
        try:
            state = joined(job, kind, work, slices, tell)
            check_unchanged(job, uri, begun)
        except InvalidInput:  # of the file, which will be another one when it is mended
            for path in (job.output, job.errors):
                growing(path).unlink(missing_ok=True)
            parts.clear()
            raise
        publish(job, state)
        parts.clear()
        return state


def scoring(job: Job, registry: Registry, version: int | None) -> Scorer:
    """A heavy side answers here too, as its endpoint would, and slower."""
    opening = partial(Opening, {}, stage="here", data=None)  # it is not asked for anything
    predictor = Predictor(registry, threads=1, release_seconds=float("inf"), heavy=opening)
    served = predictor.resolve(job.model, version=version)
    if job.decides:
        check_decides(served)
    manifest = served.loaded.manifest
    sides = None if served.loaded.tiers is None else Sides.of(manifest, here(registry, manifest, threads=1))
    return Scorer(served, job.decides, sides=sides)


def check_unchanged(job: Job, uri: str, begun: Progress) -> None:
    if begun.differs(asked(job, uri, begun)) is not None:
        raise InvalidInput(f"{job.input} was changed while it was read")


def asked(job: Job, uri: str, made: Progress) -> Progress:
    """`made`, as if it had been asked for now."""
    found = job.input.stat()
    return replace(
        made,
        model=job.model,
        registry=uri,
        input=str(job.input.resolve()),
        size=found.st_size,
        modified=found.st_mtime_ns,
        asked_version=job.version,
        keep=job.keep,
        decides=job.decides,
    )


def measured(scorer: Scorer, table: Csv | Parquet, slices: Iterator[Slice]) -> tuple[int, Iterator[Slice]]:
    """The batch size, by the first slice where it has good rows; and all slices, as that one is not read again."""
    first = list(islice(slices, 1))
    speed = scorer.batch_rows
    for rows in map(table.rows, first):
        if rows.places is None or len(rows.places):
            some = {name: array[:MEASURED_ROWS] for name, array in rows.feeds.items()}
            speed = scorer.measured(some).batch_rows
    return speed, chain(first, slices)


@dataclass(frozen=True, slots=True)
class Work:
    scorer: Scorer
    table: Csv | Parquet
    parts: Parts
    prefix: str

    @property
    def layout(self) -> Layout:
        return self.scorer.layout(self.table.keep)

    def part(self, number: int, slice_: Slice) -> Done:
        """Predicted and written, or as it was found."""
        path = self.parts.part(number)
        if path.exists() and (found := self._found(path, slice_)) is not None:
            return Done(number, found, found.num_rows - found.column(results.ERROR).null_count, slice_.share, False)
        rows = self.table.rows(slice_)
        table, rows = self.scorer.score(rows, self.layout, prefix=self.prefix, first=slice_.first)
        self.parts.write(number, partial(store, table, slice_.first), results.errors(rows, slice_.first))
        return Done(number, table, len(rows.problems), slice_.share, True)

    def _found(self, path: Path, slice_: Slice) -> pa.Table | None:
        """None where it is not that slice's."""
        return restored(path, self.layout.schema, prefix=self.prefix, first=slice_.first, rows=slice_.rows)


def joined(job: Job, kind: Format, work: Work, slices: Iterator[Slice], tell: Tell) -> State:
    """All parts in order as one file, and the list of bad rows beside it, both under names that are nobody's yet."""
    state = State(0, 0, 0.0, 0, work.scorer.served.version, work.scorer.batch_rows)
    with (
        pa.OSFile(str(growing(job.output)), "wb") as whole,
        growing(job.errors).open("wb") as errors,
        closing(Writer(whole, work.layout.schema, kind)) as writer,
    ):
        tell(state)
        for done in in_order(work, slices, job.workers or (os.cpu_count() or 1) + 1):
            writer.write(done.table)
            if done.bad:
                errors.write(work.parts.errors(done.number).read_bytes())
            state = state._replace(
                rows=state.rows + done.table.num_rows,
                bad=state.bad + done.bad,
                share=done.share,
                found=state.found + (0 if done.is_new else done.table.num_rows),
            )
            tell(state)
    return state


def growing(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def publish(job: Job, state: State) -> None:
    """The list of bad rows before the output: who sees that has both."""
    bad = growing(job.errors)
    if state.bad:
        bad.replace(job.errors)
    else:
        bad.unlink()
        job.errors.unlink(missing_ok=True)
    growing(job.output).replace(job.output)


def in_order(work: Work, slices: Iterator[Slice], workers: int) -> Iterator[Done]:
    """Parts as they are done, first to last; few slices are in memory at a time, however long the file is."""
    under_way: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for number, slice_ in enumerate(slices):
                under_way.append(pool.submit(work.part, number, slice_))
                while len(under_way) > workers + 1:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for waiting in under_way:
                waiting.cancel()
