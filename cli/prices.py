"""List prices, dated and with their source, and what AWS's own examples make of them."""

import math
import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from cli.errors import CommandFailed

TABLE = Path(__file__).with_name("prices.toml")
MB_PER_GB = 1024
FREE_STORAGE_MB = 512

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
        try:
            document = tomllib.loads(path.read_text())
            sources = [_source(name, document[name]) for name in ("lambda", "serverless", "processed")]
            rows = [dict(row) for row in document["instance"]]
            sources += [_source(row["name"], row) for row in rows]
            return cls(
                document["region"],
                Lambda(**document["lambda"]),
                Serverless(**document["serverless"]),
                Processed(**document["processed"]),
                tuple(Instance(**row) for row in rows),
                tuple(sources),
            )
        except OSError as error:
            raise CommandFailed(f"{path} cannot be read: {error.strerror}.") from None
        except KeyError as error:
            raise CommandFailed(f"{path} does not say {error}.", next_step=f"See {TABLE} for the form.") from None
        except (TypeError, ValueError) as error:
            raise CommandFailed(f"{path} is no table of prices: {error}.") from None


def _source(name: str, row: dict[str, Any]) -> Source:
    """Taken out of the row: what is left are prices."""
    return Source(name, row.pop("source"), row.pop("date"), row.pop("checked"))
