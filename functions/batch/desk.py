"""What the steps of a job work with: the job, its stores, and the version that it is pinned to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple, cast

from functions.batch.files import Csv, Parquet, opened
from functions.batch.ranged import Ranged
from functions.batch.scoring import Scorer, check_decides
from functions.batch.sides import CALL_SECONDS, Ask, Endpoint, Sides
from functions.batch.transforms import Machines, Transform
from lastmile.batches import Batch, Batches, Place
from lastmile.errors import InvalidInput, NotFound
from lastmile.loaded import Loaded
from lastmile.predictor import Predictor
from lastmile.store import Store


class Transforms(NamedTuple):
    """What transform jobs need to know of the deployment: its stage, where the registry is, and their machines."""

    stage: str
    artifacts: str
    machines: Machines


@dataclass
class Desk:
    """`environ` is for buckets that a job names; `clock` gives seconds since 1970. `transforms` are there where
    SageMaker does transform jobs."""

    predictor: Predictor
    data: Store
    bucket: str | None
    environ: Mapping[str, str]
    clock: Callable[[], float]
    transforms: Transforms | None = None
    _others: dict[str, Store] = field(default_factory=dict)

    def store(self, place: Place) -> Store:
        if self.bucket is None or place.bucket == self.bucket:
            return self.data
        if place.bucket not in self._others:
            self._others[place.bucket] = Store.open(f"s3://{place.bucket}", environ=self.environ)
        return self._others[place.bucket]

    def reconnect(self) -> None:
        self.predictor.reconnect()
        for store in (self.data, *self._others.values()):
            store.reconnect()


@dataclass(frozen=True, slots=True)
class Job:
    desk: Desk
    batch: Batch

    @property
    def batches(self) -> Batches:
        return Batches(self.desk.data)

    @property
    def output(self) -> Store:
        return self.desk.store(Place.of(self.batch.output))

    @property
    def loaded(self) -> Loaded:
        return self.desk.predictor.resolve(self.batch.model, version=self.batch.version).loaded

    @property
    def transform(self) -> Transform | None:
        """None where there is no heavy side, or it is asked at its endpoint."""
        manifest = self.loaded.manifest
        if self.desk.transforms is None or self.batch.endpoint or manifest.policy.get("heavy") is None:
            return None
        return Transform(self.batch, manifest, self.desk.data)

    @property
    def endpoint(self) -> Endpoint:
        manifest = self.loaded.manifest
        backend = self.desk.predictor.heavy.backend(manifest, deadline_seconds=CALL_SECONDS)
        return Endpoint(backend, manifest.signature.inputs, manifest.signature.outputs, manifest.policy["heavy"])

    def scorer(self, batch_rows: int | None = None, *, ask: Ask | None = None) -> Scorer:
        """`ask` is the heavy side, where it is not the endpoint."""
        served = self.desk.predictor.resolve(self.batch.model, version=self.batch.version)
        manifest = served.loaded.manifest
        if self.batch.decides:
            check_decides(served)
        sides = None
        if manifest.policy.get("heavy") is not None:
            sides = Sides.of(manifest, ask or self.endpoint)
        return Scorer(served, self.batch.decides, batch_rows or 1024, sides)

    def input(self) -> BinaryIO:
        """Raises InvalidInput when it is no longer the file that the job was made for."""
        place = Place.of(self.batch.input)
        store = self.desk.store(place)
        try:
            found = store.stat(place.path)
        except NotFound:
            raise InvalidInput(f"there is no {place.uri}") from None
        if (found.etag, found.size) != (self.batch.etag, self.batch.size):
            raise InvalidInput(f"{place.uri} has changed since the job was made; start another one")
        return cast(BinaryIO, Ranged(store, place.path, found.size))

    def table(self, file: BinaryIO, scorer: Scorer) -> Csv | Parquet:
        file.seek(0)
        name = Place.of(self.batch.input).path.rpartition("/")[2]
        return opened(file, name, scorer.inputs, self.batch.keep, size=self.batch.size)
