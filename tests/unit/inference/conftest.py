from collections.abc import Iterator

import pytest

from functions.inference.serving import Serving
from tests.unit.inference.doors import Door, every_door, fill, open_serving


@pytest.fixture(scope="session")
def serving() -> Serving:
    return fill(open_serving({"LASTMILE_DEFAULT_MODEL": "digits"}))


@pytest.fixture(scope="session")
def doors(serving: Serving) -> Iterator[dict[str, Door]]:
    with every_door(serving) as opened:
        yield opened
