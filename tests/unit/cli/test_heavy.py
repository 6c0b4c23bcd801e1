import json
from pathlib import Path
from typing import Any

import pytest

from cli.deploy import check_instance, deployment_of, outputs_of
from cli.errors import CommandFailed
from cli.heavy import context_of, wanted
from cli.target import Access, Credentials, Options
from infra.heavy import chosen
from lastmile.policies import Heavy
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.tensors import Signature, TensorSpec

TENSORS = Signature((TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("value", "FP32", (-1,)),))
BY: dict[str, Any] = {"actor": "ann", "why": "because", "metrics": {}, "lineage": {}, "compression": {}}


@pytest.fixture
def registry(workspace: Any) -> Registry:
    """Version 1 to 5 of `big`, each with a heavy side, of which 4 are released; and a light model."""
    made: Registry = workspace.registry
    big = ModelSpec("big", "regression", "A number.", *given(), backend="sagemaker", heavy=Heavy("always", max_batch=8))
    for number in range(1, 6):
        package = b"package %d" % number
        made.push(big, package, signature=TENSORS, artefact="model.tar.gz", **BY)
    made.promote("big", 1, actor="ann", why="first")
    made.promote("big", 2, actor="ann", why="better")
    made.canary("big", 3, weight=0.1, actor="ann", why="try")
    made.shadow("big", 4, actor="ann", why="look")
    made.push(ModelSpec("light", "regression", "A number.", *given()), b"graph", signature=TENSORS, **BY)
    made.promote("light", 1, actor="ann", why="first")
    return made


def given() -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    return TENSORS.inputs, TENSORS.outputs


def test_whoever_is_released_has_an_endpoint_and_whom_one_goes_back_to(registry: Registry) -> None:
    assert [(one.id, one.why) for one in wanted(registry, ())] == [
        ("big:1", "previous"),
        ("big:2", "champion"),
        ("big:3", "challenger"),
        ("big:4", "shadow"),
    ]


def test_a_version_may_have_one_before_it_is_released(registry: Registry) -> None:
    assert [one.id for one in wanted(registry, ["big"])][-1] == "big:5"
    assert [(one.id, one.why) for one in wanted(registry, ["big:2"])][1] == ("big:2", "champion")


def test_what_is_deployed_has_the_settings_it_was_registered_with(registry: Registry, tmp_path: Path) -> None:
    context = context_of(wanted(registry, ()))
    assert context["gpu"] == "true"
    versions = chosen(context["heavy"], context["heavy_settings"], models=tmp_path)
    assert [(one.model, one.number, one.settings.max_batch) for one in versions] == [
        ("big", number, 8) for number in (1, 2, 3, 4)
    ]
    assert json.loads(context["heavy_settings"])["big:1"]["mode"] == "always"


def test_the_context_reaches_the_cdk() -> None:
    access = Access(region="eu-west-1", credentials=Credentials("key", "secret"))
    assert deployment_of("dev", Options(), access, context={"gpu": "true"}).context == {"gpu": "true"}
    assert deployment_of("dev", Options(), access).context == {}


def test_versions_are_listed_with_their_reason(
    lastmile: Any, registry: Registry, workspace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Options, "target", lambda self: Target(registry))
    outcome = lastmile("heavy", "list")
    assert outcome.code == 0
    assert [line.split()[:2] for line in outcome.out.splitlines()[1:]] == [
        ["big:1", "previous"],
        ["big:2", "champion"],
        ["big:3", "challenger"],
        ["big:4", "shadow"],
    ]
    assert lastmile("heavy", "list", "--json").json["versions"][0]["instance"] == "ml.g5.xlarge"
    for word, said in (("light", "has no heavy side"), ("big:x", "names no version"), ("none", "'none'")):
        refused = lastmile("heavy", "list", word)
        assert (refused.code, said in refused.err) == (1, True)


@pytest.mark.parametrize("words", [("deploy",), ("remove",)])
def test_the_local_aws_has_no_gpus(lastmile: Any, words: tuple[str, ...]) -> None:
    outcome = lastmile("heavy", *words)
    assert outcome.code == 1
    assert "The local AWS has no SageMaker" in outcome.err
    assert "--profile or --stage" in outcome.err


def test_the_price_is_read_from_the_template(tmp_path: Path) -> None:
    template = tmp_path / "Lastmile-dev-Gpu.template.json"
    outputs = {"HeavyCost": {"Value": "Cost: little"}, "HeavyFailedTopicArn": {"Value": {"Ref": "Failed"}}}
    template.write_text(json.dumps({"Outputs": outputs}))
    assert outputs_of(template) == {"HeavyCost": "Cost: little"}


def test_another_kind_of_instance_is_refused_as_long_as_the_endpoint_is_there() -> None:
    with pytest.raises(CommandFailed, match="has ml.g5.xlarge, the versions want ml.g6.xlarge") as refused:
        check_instance({"HeavyInstance": "ml.g6.xlarge"}, {"HeavyInstance": "ml.g5.xlarge"})
    assert "lastmile heavy remove" in str(refused.value.next_step)
    check_instance({"HeavyInstance": "ml.g6.xlarge"}, {"HeavyInstance": "ml.g6.xlarge"})


class Target:
    """What a command finds in an account, as far as these commands ask for it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def registry(self) -> Registry:
        return self._registry
