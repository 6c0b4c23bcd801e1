import json
from typing import Any

from tests.infra.templates import Stacks


def widgets(stacks: Stacks, which: str = "") -> list[dict[str, Any]]:
    """Of a page whose name says the region too: an account has its dashboards together for all regions."""
    name = f"lastmile-{stacks.stage}-${{AWS::Region}}{which}"
    (page,) = [page for page in stacks.all("CloudWatch::Dashboard").values() if page["DashboardName"] == name]
    return [widget["properties"] for widget in json.loads(page["DashboardBody"])["widgets"]]


def metrics(shown: list[dict[str, Any]]) -> list[list[Any]]:
    return [metric for widget in shown for metric in widget["metrics"]]


def test_the_page_shows_speed_load_and_failure(stacks: Stacks) -> None:
    shown = {
        (metric[0], metric[1], resource(metric), statistic(metric))
        for metric in metrics(widgets(stacks))
        if isinstance(metric[0], str)
    }
    api = {("AWS/ApiGateway", "Latency", "${ApiHttp}", stat) for stat in ("p50", "p90", "p99")} | {
        ("AWS/ApiGateway", name, "${ApiHttp}", "Sum") for name in ("Count", "4xx", "5xx")
    }
    assert api | of_function("Inference") | of_function("Control") <= shown


def of_function(title: str) -> set[tuple[str, str, str, str]]:
    return {
        ("AWS/Lambda", name, f"${{{title}Function}}:live", stat)
        for name, stat in (
            *(("Duration", percentile) for percentile in ("p50", "p90", "p99")),
            *((name, "Sum") for name in ("Duration", "Invocations", "Errors", "Throttles")),
            ("ConcurrentExecutions", "Maximum"),
        )
    }


def test_the_page_estimates_the_cost_from_time_memory_and_price(stacks: Stacks) -> None:
    (widget,) = [one for one in widgets(stacks) if one["title"].startswith("Lambda, USD")]
    expressions = {metric[0]["label"]: metric[0]["expression"] for metric in widget["metrics"] if len(metric) == 1}
    price, memory = {"dev": ("0.0000166667", "0.5"), "prod": ("0.0000133334", "1")}[stacks.stage]
    assert expressions["inference"] == f"inferenceMs / 1000 * 1.72754 * {price} + inferenceCalls * 0.0000002"
    assert expressions["control"] == f"controlMs / 1000 * {memory} * {price} + controlCalls * 0.0000002"


def resource(metric: list[Any]) -> str:
    """The alias or the API a line of the body is about: the last of its dimensions' values."""
    return str([part for part in metric[2:] if isinstance(part, str)][-1])


def statistic(metric: list[Any]) -> str:
    return str(metric[-1].get("stat", "Average")) if isinstance(metric[-1], dict) else "Average"
