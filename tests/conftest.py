"""What several rooms of tests share.

`make test` runs two processes side by side. A deployment or a synthesis belongs to one of them: the tests that need the
same one are a group, and groups are handed out in order, the longest first.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path

import pytest

# Before any test imports onnxruntime: it reads this once, and otherwise reports home.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from cli.local import local_deployment
from cli.target import CHECKOUT
from layers.build import OUT, ensure, every_target

TESTS = Path(__file__).parent
GROUPS = ("local_aws", "guarded_aws")  # fixtures of tests/e2e
ROOMS = ("local_aws", "assets", "infra", "guarded_aws", "e2e", "unit")


def pytest_configure() -> None:
    """What a script starts in its background has Ctrl-C ignored, and would hand that down to whatever tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its group, and put the groups in the order of ROOMS."""
    rooms = {}
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        room = item.path.relative_to(TESTS).parts[0]
        group = next((name for name in GROUPS if room == "e2e" and name in names), room)
        rooms[item] = ROOMS.index(group)
        # Unit tests and the deployments of one test file share nothing with another file.
        item.add_marker(pytest.mark.xdist_group(str(item.path) if group in ("unit", "e2e") else group))
    items.sort(key=rooms.__getitem__)


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of built assets, up to date for both architectures."""
    ensure(every_target())
    return OUT


@pytest.fixture(scope="session")
def assembly(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stacks of stage dev for this machine's architecture, synthesised once by the CDK command line."""
    mine = tmp_path_factory.getbasetemp()
    everybodys = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine
    out = everybodys / "cdk.out"
    with alone(everybodys / "cdk.lock"):
        if not out.exists():
            deployment = local_deployment(CHECKOUT, "dev", environ=os.environ, log=everybodys / "synth.log")
            deployment.synthesise(mine / "cdk.out", lambda _: None)
            (mine / "cdk.out").rename(out)
    return out


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """While no other process is inside."""
    with file.open("w") as lock:
        flock(lock, LOCK_EX)
        yield
