"""What the steps of a job work with: the job, its stores, and the version that it is pinned to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from functions.batch.files import Csv, Parquet, opened
from functions.batch.ranged import Ranged
from functions.batch.scoring import Scorer, check_decides, check_light
from lastmile.batches import Batch, Batches, Place
from lastmile.errors import InvalidInput, NotFound
from lastmile.predictor import Predictor
from lastmile.store import Store


@dataclass
class Desk:
    """`environ` is for buckets that a job names; `clock` gives seconds since 1970."""

    predictor: Predictor
    data: Store
    bucket: str | None
    environ: Mapping[str, str]
    clock: Callable[[], float]
    _others: dict[str, Store] = field(default_factory=dict)

    def store(self, place: Place) -> Store:
        if self.bucket is None or place.bucket == self.bucket:
            return self.data
        if place.bucket not in self._others:
            self._others[place.bucket] = Store.open(f"s3://{place.bucket}", environ=self.environ)
        return self._others[place.bucket]

    def reconnect(self) -> None:
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

    def scorer(self, batch_rows: int | None = None) -> Scorer:
        served = self.desk.predictor.resolve(self.batch.model, version=self.batch.version)
        check_light(served)
        if self.batch.decides:
            check_decides(served)
        return Scorer(self.desk.predictor, served, self.batch.decides, batch_rows or 1024)

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
