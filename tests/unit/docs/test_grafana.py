"""The boards for Grafana ask for figures that there are."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from functions.inference.metrics import Metrics
from infra.dashboard import MODEL_FIGURES

GRAFANA = Path(__file__).parents[3] / "docs/grafana"
BOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
SUFFIXES = ("", "_bucket", "_count", "_sum", "_total")


def board(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def targets(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [target for panel in found["panels"] for target in panel["targets"]]


def exported() -> set[str]:
    """Every name that a scrape of the server door can hold."""
    types = re.findall(r"^# TYPE (\w+) ", Metrics().response().body.decode(), re.MULTILINE)
    return {f"{name.removesuffix('_total')}{suffix}" for name in types for suffix in SUFFIXES}


def test_the_server_board_asks_for_what_the_server_exports() -> None:
    asked = {
        name
        for target in targets(board(GRAFANA / "dashboards/server.json"))
        for name in re.findall(r"\b(?:lastmile|process)_\w+", target["expr"])
    }
    assert {"lastmile_requests_total", "lastmile_request_seconds_bucket"} <= asked
    assert asked <= exported()


def test_the_server_board_tells_labels_apart_that_there_are() -> None:
    labels = {"route", "model", "version", "status", "role", "le", "instance", "side", "reason"}
    for target in targets(board(GRAFANA / "dashboards/server.json")):
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels


def test_the_board_of_models_asks_for_the_figures_that_functions_write() -> None:
    written = {(figure.metric, figure.statistic) for figure in MODEL_FIGURES} | {("ModelSeconds", "Sum")}
    asked = {
        (target["metricName"], target["statistic"])
        for target in targets(board(GRAFANA / "dashboards/models.json"))
        if target["namespace"] == "Lastmile"
    }
    assert asked == written


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.name)
def test_a_board_uses_the_sources_that_are_provisioned(path: Path) -> None:
    sources = yaml.safe_load((GRAFANA / "provisioning/datasources/lastmile.yaml").read_text())["datasources"]
    known = {source["uid"]: source["type"] for source in sources}
    for part in (*board(path)["panels"], *targets(board(path))):
        assert known[part["datasource"]["uid"]] == part["datasource"]["type"]


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.name)
def test_panels_have_numbers_and_places_of_their_own(path: Path) -> None:
    panels = board(path)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)


def test_boards_have_names_of_their_own() -> None:
    assert len({board(path)["uid"] for path in BOARDS}) == len(BOARDS) == 2


def test_provisioning_finds_the_boards_where_they_are_to_be_mounted() -> None:
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/lastmile.yaml").read_text())["providers"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
