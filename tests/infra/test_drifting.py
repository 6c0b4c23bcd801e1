"""The hourly look for drift, and what it may do."""

import json
import re

from infra.dashboard import MODEL_FIGURES
from tests.infra.templates import Stacks
from tests.infra.test_dashboard import metrics, widgets
from tests.infra.test_duties import statements


def test_one_rule_asks_every_hour_for_all_models(stacks: Stacks) -> None:
    found = [rule for rule in stacks.all("Events::Rule").values() if rule["Name"] == f"lastmile-{stacks.stage}-drift"]
    (rule,) = found
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(1 hour)", "ENABLED")
    (target,) = rule["Targets"]
    assert target["Arn"] == "${DriftingDriftLive}"
    assert "Input" not in target, "the event as it is says what time it is"


def test_the_function_has_the_layer_that_predictions_have_and_no_other(stacks: Stacks) -> None:
    function = stacks.one("Lambda::Function", "DriftingDriftFunction")
    assert len(function["Layers"]) == 1
    variables = function["Environment"]["Variables"]
    assert (variables["LASTMILE_BUS"], variables["LASTMILE_STAGE"]) == ("${Bus}", stacks.stage)
    assert variables["LASTMILE_DATA"].startswith("s3://")
    assert function["Timeout"] == 900


def test_it_reads_what_was_captured_and_writes_reports(stacks: Stacks) -> None:
    granted = {entry["Sid"]: entry for entry in statements(stacks, "DriftingDrift")}
    written = ("reports/*", "training/*/feedback-*", "training/*/again-*", "profiles/*/merged.json.gz")
    assert granted["WriteData"]["Resource"] == [f"${{Data.Arn}}/{path}" for path in written]
    assert granted["ReadData"]["Resource"] == [
        f"${{Data.Arn}}/{prefix}/*" for prefix in ("captures", "profiles", "feedback", "reports", "training")
    ]
    assert granted["Read"]["Resource"] == "${Artifacts.Arn}/models/*"
    assert "Write" not in granted, "it never moves what serves"
    events = granted["Events"]
    assert (events["Action"], events["Condition"]) == (
        "events:PutEvents",
        {"StringEqualsIfExists": {"events:source": "lastmile"}},
    )
    assert events["Resource"] == "${Bus.Arn}"


def test_the_page_of_models_searches_for_every_model(stacks: Stacks) -> None:
    shown = metrics(widgets(stacks, "-models"))
    searches = [one[0]["expression"] for one in shown if "SEARCH" in json.dumps(one[0])]
    assert len(searches) == len(MODEL_FIGURES) + 1
    for search in searches:
        assert f'stage="{stacks.stage}"' in search
    assert (
        f"SEARCH('{{Lastmile,stage,model}} MetricName=\"DriftedFeatures\" stage=\"{stacks.stage}\"', 'Maximum', 3600)"
        in searches
    )


def test_the_page_of_models_has_errors_and_latency_by_version_and_the_cost_by_model(stacks: Stacks) -> None:
    shown = [one[0] for one in metrics(widgets(stacks, "-models"))]
    found = {re.findall(r'MetricName="(\w+)"', one["expression"])[0]: one for one in shown if "SEARCH" in str(one)}
    for name in ("VersionRequests", "VersionErrors", "VersionMillisecondsP50", "VersionMillisecondsP99"):
        assert "{Lastmile,stage,model,version}" in found[name]["expression"]
        assert found[name]["label"] == "${PROP('Dim.model')} ${PROP('Dim.version')}"
    factor = float(found["ModelSeconds"]["expression"].rpartition(" * ")[2])
    assert 1e-6 < factor < 1e-3
