import numpy as np
import pytest

from functions.retraining.answers import Remembered, digest
from lastmile.errors import InvalidInput
from lastmile.tensors import Array

PROBES = {"x": np.array([[1.5, np.nan]], np.float32), "text": np.array(["", "ü"], object)}
ROWS = {"x": np.array([[1, 2], [3, 4]], np.float32), "text": np.array(["a", "b"], object)}


class Doubling:
    onnx = b"a graph"

    def predict(self, feeds: dict[str, Array]) -> dict[str, Array]:
        return {"y": feeds["x"] * 2, "said": feeds["text"]}

    def probes(self, seed: int) -> dict[str, Array]:
        return PROBES


def test_what_was_asked_is_remembered_without_any_code() -> None:
    kept = Remembered.of(Doubling(), seed=3, asked=[ROWS]).to_bytes()
    again = Remembered.from_bytes(b"a graph", kept)
    for feeds in (ROWS, PROBES):
        found, wanted = again.predict(feeds), Doubling().predict(feeds)
        assert np.array_equal(found["y"], wanted["y"], equal_nan=True)
        assert found["y"].dtype == wanted["y"].dtype
        assert found["said"].tolist() == wanted["said"].tolist()
    assert digest(again.probes(3)) == digest(PROBES)
    assert again.onnx == b"a graph"


def test_what_was_not_asked_is_not_known() -> None:
    remembered = Remembered.of(Doubling(), seed=3, asked=[])
    with pytest.raises(InvalidInput, match="was not asked for these rows"):
        remembered.predict(ROWS)
    with pytest.raises(InvalidInput, match="seed 3"):
        remembered.probes(4)
