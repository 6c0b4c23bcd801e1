"""The pages on operating a stage say what the templates hold."""

import json
import re
from itertools import combinations
from pathlib import Path

import pytest

from infra.config import STAGES
from tests.infra.templates import Stacks

DOCS = Path(__file__).parents[2] / "docs"
DEPLOYING = (DOCS / "deploying.md").read_text(encoding="utf-8")
ONCALL = (DOCS / "oncall.md").read_text(encoding="utf-8")
STAYING = {  # what the page calls them
    "AWS::S3::Bucket": "`ArtifactsBucket`, `DataBucket` and the one of access logs",
    "AWS::KMS::Key": "the KMS key",
    "AWS::DynamoDB::Table": "the DynamoDB table",
    "AWS::Cognito::UserPool": "the Cognito user pool",
    "AWS::Lambda::LayerVersion": "versions of both layers",
}


def test_every_alarm_has_a_line_for_whoever_it_wakes(prod: Stacks) -> None:
    said = [one.properties["AlarmDescription"] for one in prod.resources if one.type == "AWS::CloudWatch::Alarm"]
    assert len(said) > 40
    rows = [row.split("|")[1].strip() for row in ONCALL.splitlines() if row.startswith("| ")][1:]
    for description in said:
        told = re.sub(r"[\d.]+ (ms|USD)", r"… \1", description.partition(": ")[2])
        assert any(told.startswith(row) for row in rows), told


def test_what_stays_of_a_stage_that_keeps_its_data_is_listed(prod: Stacks, dev: Stacks) -> None:
    def kept(stacks: Stacks) -> set[str]:
        return {one.type for one in stacks.resources if one.attributes.get("DeletionPolicy") == "Retain"}

    assert kept(prod) == set(STAYING)
    assert kept(dev) == set()
    table = DEPLOYING.partition("| stays of `prod` |")[2].partition("\n\n")[0]
    for words in STAYING.values():
        assert words in table


def test_stacks_are_deleted_before_those_that_they_use(prod: Stacks) -> None:
    found = re.search(r"for stack in (.+); do", DEPLOYING)
    assert found is not None
    order = found[1].split()
    artifacts = json.loads((prod.folder / "manifest.json").read_text())["artifacts"]
    uses = {name: one.get("dependencies", []) for name, one in artifacts.items() if name.startswith("Lastmile-")}
    names = [f"Lastmile-prod-{one}" for one in order]
    assert {name for name in uses if not name.endswith(".assets")} <= set(names)
    for first, later in combinations(names, 2):
        assert first not in uses.get(later, ()), f"{later} uses {first}"


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_the_bill_of_a_stage_at_rest_is_added_up_rightly(stage: str, dev: Stacks, prod: Stacks) -> None:
    stacks = {"dev": dev, "prod": prod}[stage]
    functions = [
        one.properties["MemorySize"]
        for one in stacks.resources
        if one.type == "AWS::Lambda::Function" and "SnapStart" in one.properties
    ]
    gigabytes = sum(functions) / 1024
    assert (len(functions), f"{gigabytes:.1f} GB in `{stage}`" in DEPLOYING) == (5, True)
    assert 21.5 <= gigabytes * 730 * 3600 * 1.5046e-6 <= 24
    alarms = [one.properties for one in prod.resources if one.type == "AWS::CloudWatch::Alarm"]
    queries = sum("SELECT" in json.dumps(one.get("Metrics", [])) for one in alarms)
    assert f"{len(alarms) - queries}, and {queries} that watch a query" in DEPLOYING
