"""Slices whose heavy rows a transform job answers: asked, collected, settled; and asked once more, each row alone.

A request of which one row cannot be answered has no answer for the others either; SageMaker answers the other requests:
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_TransformOutput.html#sagemaker-Type-TransformOutput-S3OutputPath
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from functions.batch.desk import Job
from functions.batch.pieces import Answered, Feeds, length
from functions.batch.planning import list_items, missing
from functions.batch.scoring import Scorer
from functions.batch.slicing import Read, failed_with, keep_failure, read, scorer_of, written
from functions.batch.transforms import Transform, packed, unpacked
from lastmile.errors import LastmileError, NotFound
from lastmile.tensors import Array

NOTHING = Answered({}, {})
UNANSWERED = "Unanswered"
AT_FAULT = "the heavy side gave no answer to this row, asked alone, while it answered another"

type Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asking:
    """The requests of one transform job; the second one of an attempt asks for each row `alone`."""

    job: Job
    transform: Transform
    attempt: str
    alone: bool

    @classmethod
    def of(cls, job: Job, attempt: str, alone: bool) -> "Asking":
        if job.transform is None:
            raise LastmileError("there is no transform job here that could answer")
        return cls(job, job.transform, attempt, alone)

    @property
    def name(self) -> str:
        return f"{self.attempt}-alone" if self.alone else self.attempt

    def ask(self, number: int) -> Document:
        """The requests of a slice; one without heavy rows is made at once."""
        mine = self._slice(number, choose=True)
        assert mine is not None
        if not len(mine.chosen):
            return written(self.job, number, mine.given(NOTHING), mine.read)
        asked = self.transform.ask(mine.heavy, number, self.name, alone=self.alone)
        return {"outcome": "asked", "rows": len(mine.chosen), "requests": asked}

    def order(self) -> Document:
        """What is to be asked of SageMaker, and the slices that are still to be done."""
        transforms = self.job.desk.transforms
        left = self._missing()
        items = list_items(self.job, left)
        if transforms is None or not left:
            return {"outcome": "over", "items": items, "order": {}}
        asked = self.transform.asked(self.name)
        given = self.transform.order(self.name, bucket=self.job.desk.bucket or "data", **transforms._asdict())
        return {"outcome": "ask" if asked else "settle", "items": items, "order": given, "requests": asked}

    def settle(self, number: int) -> Document:
        """The part of a slice out of what has been answered; rows that were not are kept as its failure, or are bad
        where it is they that cannot be answered."""
        mine = self._slice(number, choose=False)
        if mine is None:  # its rows could not be asked for: that is kept as a failure already
            return {"outcome": "unasked"}
        found = self.transform.answers.found(number, len(mine.chosen))
        problems = self._problems(number, mine.heavy, found.missing)
        open_rows = len(found.missing) - len(problems)
        if open_rows:
            why = f"the transform job has no answer for {open_rows:,} of {len(mine.chosen):,} rows"
            keep_failure(self.job, self.attempt, number, {"Error": UNANSWERED, "Cause": why})
            return {"outcome": "unanswered", "rows": open_rows}
        return written(self.job, number, mine.given(Answered(found.outputs, problems)), mine.read)

    def again(self) -> Document:
        """Whether another job is worth it: where some requests have been answered and others have not."""
        answered = self.transform.answers.any()
        failed = set() if answered is None else failed_with(self.job, self.attempt, UNANSWERED)
        left = [number for number in self._missing() if number in failed]
        told = {"items": self.job.batch.path("items.json"), "by": "transform", "alone": True}
        if answered is None or not left:
            return {"outcome": "ready", **told}
        mine = self._slice(answered.slice, choose=False)
        assert mine is not None
        self.transform.prove(mine.heavy, answered.start, self.name)
        list_items(self.job, left)
        return {"outcome": "planned", **told}

    def _missing(self) -> list[int]:
        return missing(self.job, self.job.batches.document(self.job.batch, "plan.json")["slices"])

    def _problems(self, number: int, feeds: Feeds, unanswered: Array) -> dict[int, str]:
        """Why the rows cannot be answered of which that is known."""
        transform = self.transform
        proved = self.alone and transform.answers.proves(transform.proof(self.name))
        problems = {}
        for place in unanswered.tolist():
            if (text := transform.too_large(feeds, place)) is not None:
                problems[place] = text
            elif proved and transform.has_asked(number, place, self.name):
                problems[place] = AT_FAULT
        return problems

    def _slice(self, number: int, *, choose: bool) -> "Slice | None":
        """None where it was never chosen which rows the heavy side answers, and is not now."""
        job, scorer = self.job, scorer_of(self.job)
        assert scorer.sides is not None
        path = job.batch.path(f"heavy/{number:05d}.bin")
        rows = read(job, number, scorer)
        feeds = rows.rows.feeds
        try:
            chosen = unpacked(job.desk.data.get(path).data)
        except NotFound:
            if not choose:
                return None
            first = None if scorer.sides.threshold is None else scorer.light(feeds)
            chosen = scorer.sides.chosen(first, length(feeds))
            job.desk.data.put(path, packed(chosen))
        return Slice(scorer, rows, chosen)


class Slice(NamedTuple):
    """`chosen` are the rows that the heavy side answers, among those that can be read."""

    scorer: Scorer
    read: Read
    chosen: Array

    @property
    def heavy(self) -> Feeds:
        feeds: Mapping[str, Array] = self.read.rows.feeds
        return {name: array[self.chosen] for name, array in feeds.items()}

    def given(self, answered: Answered) -> Scorer:
        """With what the heavy side has said already."""
        assert self.scorer.sides is not None
        return replace(self.scorer, sides=self.scorer.sides.given(self.chosen, lambda feeds: answered))
