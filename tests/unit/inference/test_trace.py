import json

import numpy as np
import pytest

from functions.inference.serving import recorder, trace
from lastmile.settings import Settings
from tests.unit.watching import NOW, manifest, spec

ROOT = "1-68d0c1f2-0a1b2c3d4e5f60718293a4b5"
IN_LAMBDA = {"LASTMILE_ARTIFACTS": "memory://", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769"}


def captured(environ: dict[str, str], capsys: pytest.CaptureFixture[bytes]) -> dict[str, object]:
    from lastmile.capture import Recording

    record = recorder(Settings.from_env(environ))
    assert record is not None
    of = manifest(spec())
    record(
        prediction_id="01ARZ3NDEKTSV4RRFFQ69G5FAV",
        at=NOW,
        role="champion",
        milliseconds=1.0,
        recording=Recording.of(of),
        inputs={"amount": np.array([1], np.float32)},
        outputs={},
    )
    line: dict[str, object] = json.loads(capsys.readouterr().out)
    return line


# capfdbinary comes first: what is patched is put back before the file that it stands for is closed.


def test_a_prediction_names_the_trace_of_its_call(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", open(1, "w", closefd=False))  # noqa: SIM115 a real file, as in Lambda
    for number in range(2):
        root = f"{ROOT[:-1]}{number}"
        monkeypatch.setenv("_X_AMZN_TRACE_ID", f"Root={root};Parent=53995c3f42cd8ad8;Sampled=1;Lineage=1:a87bd80c:0")
        assert captured(IN_LAMBDA, capfdbinary)["trace"] == root


@pytest.mark.parametrize("value", ["", "Self=1-1-1", 'Root=1-","error":"none'])
def test_without_a_trace_there_is_none(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", value)
    assert trace() is None


def test_elsewhere_nobody_looks_for_one(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", open(1, "w", closefd=False))  # noqa: SIM115
    monkeypatch.setenv("_X_AMZN_TRACE_ID", f"Root={ROOT}")
    assert "trace" not in captured({"LASTMILE_ARTIFACTS": "memory://"}, capfdbinary)
