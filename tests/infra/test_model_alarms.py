"""What rings for single models: in accounts, as the local AWS has no alarms that watch queries."""

from typing import Any

import pytest

from infra.config import GB_SECOND_USD, PROD
from tests.infra.templates import Stacks

FIGURES = {
    "Failing": ("SUM(PredictionErrors)", "model, stage", 300, PROD.error_alarm_count),
    "Slow": ("MAX(VersionMillisecondsP99)", "model, stage, version", 3600, PROD.inference.p99_alarm_ms),
    "Costly": ("SUM(ModelSeconds)", "model, stage", 3600, None),
    "Drifted": ("MAX(DriftedFeatures)", "model, stage", 3600, 1),
    "Quality": ("MAX(GatesMissed)", "model, stage", 3600, 1),
    "Unchecked": ("MAX(ChecksFailed)", "model, stage", 3600, 1),
}


def alarms(stacks: Stacks) -> dict[str, Any]:
    found = stacks.all("CloudWatch::Alarm")
    return {name.removeprefix("ModelAlarms"): one for name, one in found.items() if name.startswith("ModelAlarms")}


def test_there_is_one_alarm_for_each_trouble_of_a_model(prod: Stacks) -> None:
    assert alarms(prod).keys() == FIGURES.keys()


@pytest.mark.parametrize("name", FIGURES)
def test_each_model_is_a_series_of_its_own_and_rings_on_the_topic(prod: Stacks, name: str) -> None:
    selected, dimensions, period, threshold = FIGURES[name]
    alarm = alarms(prod)[name]
    (query,) = alarm["Metrics"]
    function = selected.partition("(")[0]
    assert query["Expression"] == (
        f"SELECT {selected} FROM SCHEMA(Lastmile, {dimensions}) WHERE stage = 'prod' "
        f"GROUP BY model ORDER BY {function}() DESC"
    )
    assert (query["Period"], query["ReturnData"]) == (period, True)
    assert threshold in (None, alarm["Threshold"])
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    assert (alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (3 if name == "Slow" else 1, 1)
    assert alarm["AlarmActions"]


def test_a_model_rings_when_its_time_costs_what_the_stage_allows(prod: Stacks) -> None:
    seconds = alarms(prod)["Costly"]["Threshold"]
    usd = seconds * PROD.inference.memory_mb / 1024 * GB_SECOND_USD[PROD.architecture]
    assert usd == pytest.approx(PROD.model_usd_an_hour, rel=1e-4)
