from pathlib import Path

import pytest

from tests.unit.retraining.recipes.transformers import small_transformer


@pytest.fixture(scope="session")
def transformer() -> Path:
    return Path(small_transformer())
