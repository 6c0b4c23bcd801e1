"""Every way to serve a model: what it costs in a month, and how long a request takes."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cli.cost_load import Hours, cold_share, requests, room, waiting
from cli.prices import ARCHITECTURES, Architecture, Instance, Prices

VCPU_MB = 1769  # of memory for each vCPU: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MOST_VCPUS = 6.0
SIZES_MB = (128, 256, 512, 1024, 1769, 3008, 5120, 10_240)
FUNCTION_MB = 150  # what the function itself takes, without a model
UTILISATION = 0.6  # of an instance's vCPUs, beyond which another one is started
AWAKE_SECONDS = 900.0  # an endpoint that scales to zero stays awake so long after a request
SERVERLESS_COLD_MS = 5000.0  # SageMaker starts a container
FRONT_MB = 256  # of the function in front of an endpoint, which opens no model
HOP_MS = 5.0  # from the function to an endpoint and back


@dataclass(frozen=True, slots=True)
class Measured:
    """Milliseconds of one request on one vCPU, and the median on two; to open the model, and its memory."""

    p50_ms: float
    p99_ms: float
    two_ms: float
    load_ms: float
    memory_mb: float
    request_bytes: float
    response_bytes: float
    handler_ms: float  # that every way adds, and which is in the others
    how: str

    @property
    def parallel(self) -> float:
        """The share of the work that a second vCPU halves (Amdahl)."""
        return min(1.0, max(0.0, 2 * (1 - self.two_ms / self.p50_ms)))

    def factor(self, memory_mb: float, speed: float = 1.0) -> float:
        """Times the duration on one vCPU: below it in proportion, above it for the parallel share alone."""
        vcpus = min(MOST_VCPUS, memory_mb / VCPU_MB)
        slower = 1 / vcpus if vcpus < 1 else 1 - self.parallel + self.parallel / vcpus
        return slower / speed

    @property
    def needed_mb(self) -> float:
        return FUNCTION_MB + self.memory_mb


@dataclass(frozen=True, slots=True)
class Assumed:
    """What nobody has measured here."""

    arm_speed: float = 1.0  # of one vCPU, in terms of x86
    cold_ms: float = 300.0  # to restore a snapshot of the function, before it opens the model
    gpu_speedup: float = 10.0
    heavy_share: float = 0.1  # of rows that the light model is not sure of
    heavy_ms: float = 50.0  # of the heavy model on a GPU


@dataclass(frozen=True, slots=True)
class Estimate:
    """Milliseconds are infinite where so many find nobody awake. Of a family the cheapest is compared."""

    family: str
    name: str
    monthly: float
    p50_ms: float
    p99_ms: float
    note: str = ""


@dataclass(frozen=True)
class Market:
    prices: Prices
    measured: Measured
    assumed: Assumed = field(default_factory=Assumed)

    def all(self, hours: Hours) -> list[Estimate]:
        functions = list(self.functions(hours))
        others = [*self.provisioned(hours), *self.serverless(hours), *self.endpoints(hours)]
        return [*functions, *others, *self.cascades(hours, functions)]

    def functions(self, hours: Hours) -> Iterator[Estimate]:
        for memory, architecture in self._sizes():
            yield self.function(hours, memory, architecture)

    def function(self, hours: Hours, memory: int, architecture: Architecture) -> Estimate:
        mine, count = self.prices.functions, requests(hours)
        p50, p99 = self._durations(memory, architecture)
        cold = _cold_of(hours, p50)
        cold_ms = self.assumed.cold_ms + self.measured.load_ms * self._factor(memory, architecture)
        monthly = mine.requests(count) + mine.compute(count, p50, memory, architecture=architecture)
        monthly += mine.snapstart(sum(hours.values()) * 3600, count * cold, memory)
        slow = cold_ms if cold >= 0.01 else 0.0
        usual = cold_ms if cold >= 0.5 else 0.0
        return Estimate(
            f"Lambda {architecture}", f"{memory} MB {architecture}", monthly, p50 + usual, p99 + slow, _cold(cold)
        )

    def provisioned(self, hours: Hours) -> Iterator[Estimate]:
        """Room for the busiest hour, all the time: what is never cold."""
        mine, count, seconds = self.prices.functions, requests(hours), sum(hours.values()) * 3600
        for memory, architecture in self._sizes():
            p50, p99 = self._durations(memory, architecture)
            many = room(max(hours) * p50 / 1000)
            monthly = mine.requests(count) + mine.provisioned(many, seconds, memory, architecture=architecture)
            monthly += mine.provisioned_compute(count, p50, memory, architecture=architecture)
            name = f"{memory} MB {architecture}, {many} kept"
            yield Estimate("Lambda provisioned", name, monthly, p50, p99)

    def serverless(self, hours: Hours) -> Iterator[Estimate]:
        mine, count = self.prices.serverless, requests(hours)
        for memory in range(1, mine.largest_gb + 1):
            if memory * 1024 < self.measured.needed_mb:
                continue
            p50, p99 = self._durations(memory * 1024, "x86")
            cold = _cold_of(hours, p50)
            slow, front = SERVERLESS_COLD_MS + self.measured.load_ms, self._front_ms
            monthly = mine.cost(count, p50, memory) + self._processed(hours) + self._front(hours, p50)
            p50, p99 = p50 + slow * (cold >= 0.5) + front, p99 + slow * (cold >= 0.01) + front
            yield Estimate("SageMaker serverless", f"{memory} GB", monthly, p50, p99, _cold(cold))

    def endpoints(self, hours: Hours) -> Iterator[Estimate]:
        for instance in self.prices.instances:
            if not instance.gpu:
                yield self.always_on(hours, instance, self.measured.p50_ms, self.measured.p99_ms, "SageMaker CPU")
                continue
            faster = self.assumed.gpu_speedup
            times = self.measured.p50_ms / faster, self.measured.p99_ms / faster
            yield self.always_on(hours, instance, *times, "SageMaker GPU")
            yield self.to_zero(hours, instance, *times)

    def always_on(self, hours: Hours, instance: Instance, p50: float, p99: float, family: str) -> Estimate:
        """Scaled out by the hour, never below one; a GPU serves one request at a time."""
        servers = 1 if instance.gpu else instance.vcpus
        many = {rate: _instances(rate, p50, servers) for rate in hours}
        monthly = sum(instance.cost(count, many[rate]) for rate, count in hours.items())
        monthly += self._processed(hours) + self._front(hours, p50)
        most, front = many[max(hours)], self._front_ms
        usual, slow = (_wait_ms(hours, p50, servers, share) for share in (0.5, 0.99))
        note = f"1 to {most} instances" if most > 1 else ""
        return Estimate(family, instance.name, monthly, p50 + usual + front, p99 + slow + front, note)

    def to_zero(self, hours: Hours, instance: Instance, p50: float, p99: float) -> Estimate:
        """While it is awake it has as many machines as one that never sleeps, and as long a line."""
        monthly = self._awake(hours, instance, p50) + self._processed(hours) + self._front(hours, p50)
        asleep = _mean(hours, lambda rate: math.exp(-rate * AWAKE_SECONDS))
        front = self._front_ms
        slow = math.inf if asleep >= 0.01 else p99 + _wait_ms(hours, p50, 1, 0.99) + front
        usual = math.inf if asleep >= 0.5 else p50 + _wait_ms(hours, p50, 1, 0.5) + front
        return Estimate("SageMaker GPU to zero", instance.name, monthly, usual, slow, f"{asleep:.1%} find it asleep")

    def cascades(self, hours: Hours, functions: list[Estimate]) -> Iterator[Estimate]:
        """The light model answers first, in the size that makes it cheapest; none where no function holds it.

        The same call waits for the heavy model, in the light one's memory. While the endpoint sleeps the light answer
        is the one given.
        """
        unsure = {rate * self.assumed.heavy_share: count for rate, count in hours.items()}
        ms, mine = self.assumed.heavy_ms + HOP_MS, self.prices.functions
        lights = [
            (light, mine.compute(requests(unsure), ms, memory, architecture=kind))
            for light, (memory, kind) in zip(functions, self._sizes(), strict=True)
        ]
        if lights:
            light, waited = min(lights, key=lambda one: one[0].monthly + one[1])
            for instance in self.prices.instances:
                if instance.gpu:
                    yield self._cascade(unsure, light, waited, instance)

    def _cascade(self, unsure: Hours, light: Estimate, waited: float, instance: Instance) -> Estimate:
        """Of all requests 1 % are slower than the p99: of the heavy ones that is 1 % by their share."""
        share, heavy = self.assumed.heavy_share, self.assumed.heavy_ms
        usual, slow = (
            HOP_MS + heavy + _wait_ms(unsure, heavy, 1, 1 - slower / share) if share >= slower else 0.0
            for slower in (0.5, 0.01)
        )
        return Estimate(
            "Cascade",
            f"{light.name} + {instance.name}",
            light.monthly + waited + self._awake(unsure, instance, heavy) + self._processed(unsure),
            light.p50_ms + usual,
            light.p99_ms + slow,
            f"{share:.0%} of the rows are heavy",
        )

    def _sizes(self) -> list[tuple[int, Architecture]]:
        """Of the functions that hold the model."""
        return [(one, kind) for kind in ARCHITECTURES for one in SIZES_MB if one >= self.measured.needed_mb]

    @property
    def _front_ms(self) -> float:
        """What the function in front adds to an endpoint's time: its own handling, and the way there and back."""
        return self.measured.handler_ms / (FRONT_MB / VCPU_MB) + HOP_MS

    def _front(self, hours: Hours, ms: float) -> float:
        """The function waits for the endpoint, and its time is billed."""
        mine, count = self.prices.functions, requests(hours)
        return mine.requests(count) + mine.compute(count, ms + self._front_ms, FRONT_MB, architecture="arm")

    def _processed(self, hours: Hours) -> float:
        mine = self.measured
        return self.prices.processed.cost(requests(hours), mine.request_bytes, mine.response_bytes)

    def _awake(self, hours: Hours, instance: Instance, ms: float) -> float:
        return sum(
            instance.cost(count * (1 - math.exp(-rate * AWAKE_SECONDS)), _instances(rate, ms, 1))
            for rate, count in hours.items()
        )

    def _durations(self, memory: float, architecture: Architecture) -> tuple[float, float]:
        factor = self._factor(memory, architecture)
        return self.measured.p50_ms * factor, self.measured.p99_ms * factor

    def _factor(self, memory: float, architecture: Architecture) -> float:
        return self.measured.factor(memory, self.assumed.arm_speed if architecture == "arm" else 1.0)


def cheapest(estimates: list[Estimate]) -> dict[str, Estimate]:
    """Of each family, cheapest family first."""
    found: dict[str, Estimate] = {}
    for one in sorted(estimates, key=lambda one: one.monthly):
        found.setdefault(one.family, one)
    return found


def _instances(rate: float, ms: float, servers: int) -> int:
    return max(1, math.ceil(rate * ms / 1000 / (UTILISATION * servers)))


def _wait_ms(hours: Hours, ms: float, servers: int, share: float) -> float:
    """In line at the busiest hour: what `share` of its requests stay within, with so many servers in an instance."""
    busiest = max(hours)
    return waiting(busiest, ms / 1000, _instances(busiest, ms, servers) * servers, share) * 1000


def _cold_of(hours: Hours, ms: float) -> float:
    return _mean(hours, lambda rate: cold_share(rate, ms / 1000))


def _mean(hours: Hours, share: Callable[[float], float]) -> float:
    """Over the requests."""
    total = requests(hours)
    return sum(rate * 3600 * count * share(rate) for rate, count in hours.items()) / total if total else 0.0


def _cold(share: float) -> str:
    return f"{share:.2%} cold"
