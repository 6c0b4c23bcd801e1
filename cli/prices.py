"""List prices, dated and with their source, and what AWS's own examples make of them."""

import math
import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from cli.cost_table import Section
from cli.errors import CommandFailed

TABLE = Path(__file__).with_name("prices.toml")
MB_PER_GB = 1024
FREE_STORAGE_MB = 512
MOST_FREE = 10**12
CHECKED = ("page", "list", "others")

type Architecture = Literal["x86", "arm"]

ARCHITECTURES: tuple[Architecture, ...] = ("x86", "arm")


@dataclass(frozen=True, slots=True)
class Source:
    name: str
    url: str
    date: date
    checked: str


@dataclass(frozen=True, slots=True)
class Lambda:
    request: float
    gb_second: dict[str, float]
    provisioned_gb_second: dict[str, float]
    provisioned_run_gb_second: dict[str, float]
    ephemeral_gb_second: float
    snapstart_cache_gb_second: float
    snapstart_restore_gb: float
    free_requests: int
    free_gb_seconds: int

    def requests(self, count: float, *, free: bool = False) -> float:
        return max(0.0, count - self.free_requests * free) * self.request

    def compute(
        self, count: float, ms: float, memory_mb: int, *, architecture: Architecture = "x86", free: bool = False
    ) -> float:
        """A call is billed by whole milliseconds."""
        gb_seconds = self.gb_seconds(count, ms, memory_mb) - self.free_gb_seconds * free
        return max(0.0, gb_seconds) * self.gb_second[architecture]

    def provisioned(
        self, environments: float, seconds: float, memory_mb: int, *, architecture: Architecture = "x86"
    ) -> float:
        """For being there, whether they are called or not."""
        return environments * seconds * memory_mb / MB_PER_GB * self.provisioned_gb_second[architecture]

    def provisioned_compute(
        self, count: float, ms: float, memory_mb: int, *, architecture: Architecture = "x86"
    ) -> float:
        return self.gb_seconds(count, ms, memory_mb) * self.provisioned_run_gb_second[architecture]

    def storage(self, count: float, ms: float, storage_mb: int) -> float:
        return self.gb_seconds(count, ms, max(0, storage_mb - FREE_STORAGE_MB)) * self.ephemeral_gb_second

    def snapstart(self, seconds: float, restores: float, memory_mb: int) -> float:
        memory = memory_mb / MB_PER_GB
        return memory * (seconds * self.snapstart_cache_gb_second + restores * self.snapstart_restore_gb)

    @staticmethod
    def gb_seconds(count: float, ms: float, memory_mb: int) -> float:
        return count * math.ceil(round(ms, 6)) / 1000 * memory_mb / MB_PER_GB


@dataclass(frozen=True, slots=True)
class Serverless:
    gb_second: float
    largest_gb: int

    def cost(self, count: float, ms: float, memory_gb: int) -> float:
        return count * math.ceil(round(ms, 6)) / 1000 * memory_gb * self.gb_second


@dataclass(frozen=True, slots=True)
class Processed:
    """What goes into an endpoint and comes out of it, whether it is serverless or paid by the hour."""

    gb_in: float
    gb_out: float

    def cost(self, count: float, bytes_in: float, bytes_out: float) -> float:
        return count * (bytes_in * self.gb_in + bytes_out * self.gb_out) / 1e9


@dataclass(frozen=True, slots=True)
class Instance:
    name: str
    hour: float
    vcpus: int
    gpu: bool = False

    def cost(self, hours: float, count: float = 1) -> float:
        return self.hour * hours * count


@dataclass(frozen=True, slots=True)
class Prices:
    region: str
    functions: Lambda
    serverless: Serverless
    processed: Processed
    instances: tuple[Instance, ...]
    sources: tuple[Source, ...]

    @classmethod
    def read(cls, path: Path = TABLE) -> "Prices":
        """Raises CommandFailed naming what is missing or wrong."""
        advice = f"See {TABLE} for the form."
        try:
            return cls._of(Section("the file", tomllib.loads(path.read_text(encoding="utf-8"))))
        except OSError as error:
            raise CommandFailed(f"{path} cannot be read: {error.strerror}.", next_step=advice) from None
        except ValueError as error:
            raise CommandFailed(f"{path} is no table of prices: {error}.", next_step=advice) from None

    @classmethod
    def _of(cls, file: Section) -> "Prices":
        """Raises ValueError."""
        region, functions, serverless = file.text("region"), file.section("lambda"), file.section("serverless")
        processed, instances = file.section("processed"), file.sections("instance")
        file.end()
        found = cls(
            region,
            Lambda(
                request=functions.price("request"),
                gb_second=functions.prices("gb_second", ARCHITECTURES),
                provisioned_gb_second=functions.prices("provisioned_gb_second", ARCHITECTURES),
                provisioned_run_gb_second=functions.prices("provisioned_run_gb_second", ARCHITECTURES),
                ephemeral_gb_second=functions.price("ephemeral_gb_second", free=True),
                snapstart_cache_gb_second=functions.price("snapstart_cache_gb_second", free=True),
                snapstart_restore_gb=functions.price("snapstart_restore_gb", free=True),
                free_requests=functions.whole("free_requests", least=0, most=MOST_FREE),
                free_gb_seconds=functions.whole("free_gb_seconds", least=0, most=MOST_FREE),
            ),
            Serverless(serverless.price("gb_second"), serverless.whole("largest_gb")),
            Processed(processed.price("gb_in", free=True), processed.price("gb_out", free=True)),
            tuple(
                Instance(one.text("name"), one.price("hour"), one.whole("vcpus"), one.flag("gpu")) for one in instances
            ),
            tuple(_source(one) for one in (functions, serverless, processed, *instances)),
        )
        for one in (functions, serverless, processed, *instances):
            one.end()
        return found


def _source(row: Section) -> Source:
    return Source(row.name, row.text("source"), row.day("date"), row.text("checked", CHECKED))
