"""The page on the spec has every key there is, with its default, and what it shows is a spec."""

import re
import tomllib
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import pytest

from lastmile.policies import (
    Approval,
    Canary,
    CaptureOptions,
    Certificate,
    Compression,
    Drift,
    Feature,
    Gate,
    Heavy,
    Retrain,
    Training,
)
from lastmile.policies import Decision as DecisionPolicy
from lastmile.spec import ModelSpec
from lastmile.tensors import TensorSpec

PAGE = (Path(__file__).parents[3] / "docs/spec.md").read_text(encoding="utf-8")
LEAST, EVERYTHING = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
AT_DEFAULT: dict[str, Any] = {
    "compression": Compression,
    "certificate": Certificate,
    "approval": Approval,
    "canary": Canary,
    "capture": CaptureOptions,
    "drift": Drift,
    "retrain": Retrain,
    "heavy": Heavy,
}


def default(one: Field[Any]) -> Any:
    return one.default_factory() if one.default_factory is not MISSING else one.default


def test_what_is_shown_is_a_spec(tmp_path: Path) -> None:
    least = tmp_path / "least.toml"
    least.write_text(LEAST, encoding="utf-8")
    assert ModelSpec.from_toml(least).name == "churn"
    whole = tmp_path / "whole.toml"
    top, sections = EVERYTHING.split("\n", 1)
    body = LEAST.replace("[[inputs]]", top.replace('"onnx"', '"sagemaker"') + "\n[[inputs]]", 1) + sections
    whole.write_text(body.replace("columns =", "nullable = false\ncolumns =", 1), encoding="utf-8")
    assert ModelSpec.from_toml(whole).heavy is not None


@pytest.mark.parametrize("name", sorted(AT_DEFAULT))
def test_a_section_shows_every_key_at_its_default(name: str) -> None:
    shown = tomllib.loads(EVERYTHING)[name]
    known = {one.name: default(one) for one in fields(AT_DEFAULT[name])}
    assert shown.keys() == known.keys()
    for key, value in known.items():
        if value is not MISSING and value is not None:
            assert shown[key] == (list(value) if isinstance(value, tuple) else value), key


@pytest.mark.parametrize("section", [ModelSpec, TensorSpec, Feature, Training, Gate, DecisionPolicy])
def test_every_key_is_on_the_page(section: Any) -> None:
    for one in fields(section):
        assert re.search(rf"\b{one.name}\b", PAGE), one.name


@pytest.mark.parametrize(
    "said", ["which no protocol can carry", "the spec says", "is no ONNX file", "zipmap"], ids=lambda said: said[:20]
)
def test_errors_are_quoted_as_they_are(said: str) -> None:
    sources = Path(__file__).parents[3]
    texts = [
        *(sources / "cli").glob("*.py"),
        *(sources / "layers/onnx/python/lastmile").rglob("*.py"),
    ]
    assert any(said in path.read_text(encoding="utf-8") for path in texts)
