import json
from typing import Any

from tests.infra.templates import Stacks


def test_the_page_shows_speed_load_and_failure(stacks: Stacks) -> None:
    dashboard = stacks.one("CloudWatch::Dashboard")
    assert dashboard["DashboardName"] == f"lastmile-{stacks.stage}"
    shown = {
        (metric[0], metric[1], resource(metric), metric[-1]["stat"] if isinstance(metric[-1], dict) else "Average")
        for widget in json.loads(dashboard["DashboardBody"])["widgets"]
        for metric in widget["properties"]["metrics"]
    }
    api = {("AWS/ApiGateway", "Latency", "${ApiHttp}", stat) for stat in ("p50", "p90", "p99")} | {
        ("AWS/ApiGateway", name, "${ApiHttp}", "Sum") for name in ("Count", "4xx", "5xx")
    }
    functions = {
        ("AWS/Lambda", name, f"${{{title}Function}}:live", stat)
        for title in ("Inference", "Control")
        for name, stat in (
            *(("Duration", percentile) for percentile in ("p50", "p90", "p99")),
            *((name, "Sum") for name in ("Invocations", "Errors", "Throttles")),
            ("ConcurrentExecutions", "Maximum"),
        )
    }
    assert shown == api | functions


def resource(metric: list[Any]) -> str:
    """The alias or the API a line of the body is about: the last of its dimensions' values."""
    return str([part for part in metric[2:] if isinstance(part, str)][-1])
