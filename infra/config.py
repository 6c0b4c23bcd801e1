"""Every number and choice of the deployment, one typed value per stage."""

from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

Architecture = Literal["x86_64", "arm64"]
# List prices of us-east-1: https://aws.amazon.com/lambda/pricing/
GB_SECOND_USD: dict[Architecture, float] = {"x86_64": 0.0000166667, "arm64": 0.0000133334}
REQUEST_USD = 0.0000002

Retention = Literal["ONE_WEEK", "ONE_MONTH", "THREE_MONTHS", "ONE_YEAR"]  # of CloudWatch's RetentionDays


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What one function gets, and how slow its 99th percentile may be before the alarm rings.

    With `snapshot` it starts from one, in milliseconds instead of seconds. Keeping it costs 4 USD per GB of memory and
    month whether anybody calls or not, so only functions have one on which somebody waits.
    """

    memory_mb: int
    timeout_seconds: int
    p99_alarm_ms: int
    snapshot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle:
    """Requests per second in the long run, and how many at once."""

    rate: int
    burst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJobs:
    """Machines for what is larger than `largest_upload_mb`; `boost_` are XGBoost's. In real accounts only: the local
    AWS has no SageMaker."""

    on: bool
    instance: str
    volume_gb: int
    hours: int  # the longest that one job may take
    boost_instance: str
    boost_instances: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    name: str
    architecture: Architecture
    inference: Size
    control: Size
    capturing: Size
    drift: Size
    retraining: Size
    batch: Size
    batches_at_once: int  # slices of a batch that are done together, each by a function of its own
    batch_buckets: tuple[str, ...]  # beside the data bucket: where batches may read from and write to
    training_jobs: TrainingJobs
    largest_upload_mb: int  # what the retraining function can hold, in memory and in its /tmp of 512 MB
    heavy_subnets: tuple[str, ...]  # ids of a network of your own for containers on GPUs; none: AWS's
    heavy_security_groups: tuple[str, ...]
    hook: Size
    chat: Size
    operations: Size
    zendesk_groups: dict[str, int]  # Zendesk's ids of the ticket queues; a queue that is not there is named by a tag
    throttle: Throttle
    control_throttle: Throttle
    log_retention: Retention
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    error_alarm_count: int  # in one period of five minutes, per function and for the API's own 5xx
    throttle_alarm_count: int
    model_usd_an_hour: float  # what the time in one model may cost before the alarm rings
    release_seconds: int  # how long a warm function may keep answering from a release it has read
    capture: Literal["on", "off"]
    default_model: str
    cors_origins: tuple[str, ...]  # whose web pages may call the data plane: origins, or * for all
    noncurrent_days: int  # how long replaced and deleted objects can be brought back
    access_log_days: int
    token_minutes: int
    keep_data: bool  # buckets, key and user pool outlive their stack

    @property
    def model_second_usd(self) -> float:
        """What a second in a model costs where it is predicted with, at its list price."""
        return self.inference.memory_mb / 1024 * GB_SECOND_USD[self.architecture]


DEV = Stage(
    name="dev",
    architecture="x86_64",
    inference=Size(memory_mb=1769, timeout_seconds=29, p99_alarm_ms=3_000, snapshot=True),
    control=Size(memory_mb=512, timeout_seconds=29, p99_alarm_ms=10_000, snapshot=True),
    capturing=Size(memory_mb=1024, timeout_seconds=120, p99_alarm_ms=30_000),
    drift=Size(memory_mb=1769, timeout_seconds=900, p99_alarm_ms=600_000),
    retraining=Size(memory_mb=3008, timeout_seconds=900, p99_alarm_ms=840_000),
    training_jobs=TrainingJobs(
        on=False, instance="ml.m5.4xlarge", volume_gb=200, hours=24, boost_instance="ml.m5.4xlarge", boost_instances=4
    ),
    largest_upload_mb=400,
    batch=Size(memory_mb=1769, timeout_seconds=900, p99_alarm_ms=600_000),
    batches_at_once=20,
    batch_buckets=(),
    heavy_subnets=(),
    heavy_security_groups=(),
    hook=Size(memory_mb=512, timeout_seconds=10, p99_alarm_ms=2_000, snapshot=True),
    chat=Size(memory_mb=1769, timeout_seconds=60, p99_alarm_ms=20_000, snapshot=True),
    operations=Size(memory_mb=1024, timeout_seconds=60, p99_alarm_ms=20_000, snapshot=True),
    zendesk_groups={},
    throttle=Throttle(rate=500, burst=1_000),
    control_throttle=Throttle(rate=20, burst=40),
    log_retention="ONE_WEEK",
    log_level="INFO",
    error_alarm_count=1,
    throttle_alarm_count=1,
    model_usd_an_hour=0.5,
    release_seconds=5,
    capture="on",
    default_model="digits",
    cors_origins=("*",),
    noncurrent_days=30,
    access_log_days=30,
    token_minutes=60,
    keep_data=False,
)

PROD = replace(
    DEV,
    name="prod",
    architecture="arm64",
    inference=Size(memory_mb=1769, timeout_seconds=29, p99_alarm_ms=1_000, snapshot=True),
    control=Size(memory_mb=1024, timeout_seconds=29, p99_alarm_ms=5_000, snapshot=True),
    batches_at_once=100,
    throttle=Throttle(rate=2_000, burst=4_000),
    log_retention="THREE_MONTHS",
    release_seconds=30,
    model_usd_an_hour=5.0,
    cors_origins=(),
    noncurrent_days=90,
    access_log_days=365,
    keep_data=True,
)

STAGES = {stage.name: stage for stage in (DEV, PROD)}


def choose(name: str, *, architecture: str | None = None) -> Stage:
    """The stage of that name; another architecture may be asked for, as a laptop's own is for the local AWS."""
    if name not in STAGES:
        raise SystemExit(f"There is no stage {name!r}: choose one of {', '.join(STAGES)}.")
    if architecture is None:
        return STAGES[name]
    if architecture not in get_args(Architecture):
        raise SystemExit(f"Lambda has no architecture {architecture!r}: {' or '.join(get_args(Architecture))}.")
    return replace(STAGES[name], architecture=cast(Architecture, architecture))
