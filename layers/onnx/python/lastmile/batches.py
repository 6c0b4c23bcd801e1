"""Batch jobs of the cloud, as objects in the data bucket.

batches/<model>/<id>/job.json            what is to be done; written once
batches/<model>/<id>/plan.json           the slices of the input, written once
batches/<model>/<id>/items.json          those still to be done, for the state machine
batches/<model>/<id>/errors/00017.jsonl  bad rows of a slice
batches/<model>/<id>/failed/<attempt>/…  why a slice could not be done
batches/<model>/<id>/report.json         how it ended
batches/<model>/<id>/heavy/00017.bin     which rows of a slice the heavy side answers, as uint32
batches/<model>/<id>/heavy/00017.answers.json, proofs.json  where its answers are
pending/batches/<model>/<id>/asked/…     requests of a transform job, for seven days
pending/batches/<model>/<id>/answers/…   and what it answered
<output>/_batch.json                     whose output it is
<output>/part-00017.parquet              the result of a slice: whole, or not there
<output>/_manifest.json, _errors.jsonl   when all of it is there
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import orjson

from lastmile.errors import InvalidInput, NotFound
from lastmile.store import AlreadyExists, Store

ROOT = "batches"
FORMATS = ("parquet", "csv")

type Format = Literal["parquet", "csv"]
type Document = dict[str, Any]


class Place(NamedTuple):
    """Of an object, or of a folder whose path has no slash at its end."""

    bucket: str
    path: str

    @classmethod
    def of(cls, uri: str) -> "Place":
        bucket, _, path = uri.removeprefix("s3://").partition("/")
        if not uri.startswith("s3://") or not bucket or not path.strip("/"):
            raise InvalidInput(f"'{uri}' is no place in S3; give s3://bucket/path")
        return cls(bucket, path.rstrip("/"))

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """`etag` is the input's, `prefix` begins every prediction id; `endpoint` asks a heavy side at its endpoint, also
    where there are transform jobs."""

    id: str
    model: str
    version: int
    input: str
    etag: str
    size: int
    output: str
    format: Format
    keep: tuple[str, ...]
    decides: bool
    batch_rows: int | None
    part_rows: int | None
    prefix: str
    created_at: float
    actor: str
    endpoint: bool = False

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Batch":
        return cls(**{**document, "keep": tuple(document["keep"])})

    def to_document(self) -> Document:
        return asdict(self)

    def path(self, name: str) -> str:
        return f"{ROOT}/{self.model}/{self.id}/{name}"

    def pending(self, name: str) -> str:
        """Of objects that are kept for a week."""
        return f"pending/{self.path(name)}"

    def part(self, number: int) -> str:
        return f"{Place.of(self.output).path}/part-{number:05d}.{self.format}"


def batch_id(**facts: Any) -> str:
    """The same for the same work: whoever asks again goes on with what there is."""
    return hashlib.sha256(orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Batches:
    data: Store

    def create(self, batch: Batch) -> Batch:
        """Or the one that is there already."""
        try:
            self.data.create(batch.path("job.json"), orjson.dumps(batch.to_document()))
        except AlreadyExists:
            return self.read(batch.model, batch.id)
        return batch

    def read(self, model: str, number: str) -> Batch:
        try:
            return Batch.from_document(orjson.loads(self.data.get(f"{ROOT}/{model}/{number}/job.json").data))
        except NotFound:
            raise NotFound(f"model '{model}' has no batch {number}") from None

    def document(self, batch: Batch, name: str) -> Any:
        """Of the job's own objects; None where it is not there yet."""
        try:
            return orjson.loads(self.data.get(batch.path(name)).data)
        except NotFound:
            return None

    def write(self, batch: Batch, name: str, document: Any) -> None:
        self.data.put(batch.path(name), orjson.dumps(document))

    def numbers(self, batch: Batch, folder: str) -> list[int]:
        """Of the slices that have an object there."""
        names = (path.rpartition("/")[2] for path in self.data.list(batch.path(folder)))
        return sorted(int(name.partition(".")[0]) for name in names)

    def all(self, model: str | None = None) -> Iterator[Batch]:
        for name in self.data.list_folders(ROOT) if model is None else [model]:
            for number in self.data.list_folders(f"{ROOT}/{name}"):
                try:
                    yield self.read(name, number)
                except NotFound:  # an input was uploaded there, and its job was not started
                    continue


def done_parts(output: Store, batch: Batch) -> list[int]:
    """Of the slices whose part is there."""
    folder = Place.of(batch.output).path
    names = (path.rpartition("/")[2] for path in output.list(folder))
    return sorted(int(name[5:10]) for name in names if name.startswith("part-") and name.endswith(f".{batch.format}"))
