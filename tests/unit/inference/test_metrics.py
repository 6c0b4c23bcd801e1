import json
import re
import subprocess
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from functions.inference.background import Background
from functions.inference.metrics import MULTIPROCESS_FOLDER, Metrics
from functions.inference.server_door import ServerDoor
from lastmile.errors import StoreUnavailable
from lastmile.registry import Registry
from tests.unit.inference.doors import WHO, Sent, fill, open_serving, through_asgi
from tests.unit.inference.test_doors import INFER, post, tensor, v2

INFER_ROUTE = "/v2/models/{model}/infer"


def samples(exposition: bytes) -> dict[tuple[str, str], float]:
    """(name, labels as text) to value; parsed by the Prometheus client's own parser."""
    return {
        (sample.name, ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition.decode())
        for sample in family.samples
    }


def test_what_passed_the_door_can_be_scraped() -> None:
    metrics, background = Metrics(), Background()
    serving = fill(
        open_serving(
            {"LASTMILE_RELEASE_SECONDS": "0"},
            record=metrics.recording(None),
            spawn=background.refresh,
            spawn_shadow=background.shadow,
        )
    )
    door = through_asgi(ServerDoor(serving, metrics=metrics, background=background))
    for _ in range(3):
        door(post(INFER, v2(tensor())))
    door(post("/v2/models/digits/versions/3/infer", v2(tensor())))
    door(post(INFER, b"no JSON"))
    door(post("/v2/models/made-up-by-a-client/infer", v2(tensor())))
    got = door(Sent("GET", "/metrics"))
    assert got.headers["content-type"].startswith("text/plain")
    found = samples(got.body)
    requests = {labels: value for (name, labels), value in found.items() if name == "lastmile_requests_total"}
    assert requests == {
        f"model=digits,route={INFER_ROUTE},status=200,version=1": 3,
        "model=digits,route=/v2/models/{model}/versions/{version}/infer,status=200,version=3": 1,
        f"model=,route={INFER_ROUTE},status=400,version=": 1,
        f"model=,route={INFER_ROUTE},status=404,version=": 1,
    }
    assert found["lastmile_request_seconds_count", f"route={INFER_ROUTE}"] == 5
    assert found["lastmile_request_seconds_bucket", f"le=+Inf,route={INFER_ROUTE}"] == 5
    assert found["lastmile_model_run_seconds_count", "model=digits,role=champion,version=1"] == 3
    assert found["lastmile_model_run_seconds_count", "model=digits,role=pinned,version=3"] == 1
    assert found["lastmile_loaded_versions", "model=digits"] == 2
    assert found["lastmile_release_revision", "model=digits"] == serving.predictor.release("digits").revision
    assert b"made-up" not in got.body
    assert found["process_resident_memory_bytes", ""] > 0
    background.close()


def test_shadow_runs_are_counted_apart() -> None:
    metrics = Metrics()
    serving = fill(open_serving(record=metrics.recording(None)))
    Registry(serving.store).shadow("digits", 3, **WHO)
    through_asgi(ServerDoor(serving, metrics=metrics, background=Background()))(post(INFER, v2(tensor())))
    found = samples(metrics.response().body)
    assert found["lastmile_model_run_seconds_count", "model=digits,role=shadow,version=3"] == 1
    assert found["lastmile_model_run_seconds_count", "model=digits,role=champion,version=1"] == 1


def test_a_capture_that_is_wanted_is_still_written() -> None:
    lines: list[int] = []
    record = Metrics().recording(lambda **facts: lines.append(facts["recording"].version))
    serving = fill(open_serving(record=record))
    through_asgi(ServerDoor(serving, metrics=Metrics(), background=Background()))(post(INFER, v2(tensor())))
    assert lines == [1]


def test_refreshes_that_fail_and_dropped_shadow_runs_are_counted() -> None:
    metrics = Metrics()
    serving = fill(open_serving({"LASTMILE_RELEASE_SECONDS": "0"}))
    serving.predictor.preload()

    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("down")

    serving.store.get_if_changed = fail  # type: ignore[method-assign]
    for _ in range(4):
        serving.predictor.resolve("digits")
    for dropped in (7, 7):
        metrics.follow(serving.predictor, dropped=dropped)
    found = samples(metrics.response().body)
    assert found["lastmile_release_refresh_failures_total", "model=digits"] == 4
    assert found["lastmile_release_refresh_failures_total", "model=echo"] == 0
    assert found["lastmile_shadow_runs_dropped_total", ""] == 7


WORKER = """
from functions.inference.metrics import Metrics
from lastmile.protocols.messages import Response
import sys
metrics = Metrics()
for _ in range(int(sys.argv[1])):
    metrics.count("/v2", Response(200, {}, b""), 0.001)
print(metrics.response().body.decode())
"""


def test_several_workers_are_added_up(tmp_path: Path) -> None:
    environ = {MULTIPROCESS_FOLDER: str(tmp_path), "ORT_DISABLE_TELEMETRY": "1"}
    for count in (2, 3):
        done = subprocess.run(
            [sys.executable, "-c", WORKER, str(count)], env=environ, capture_output=True, text=True, check=True
        )
    assert re.search(r"^lastmile_requests_total{.*} 5\.0$", done.stdout, re.MULTILINE), done.stdout


def test_the_route_label_is_the_template_of_the_documentation() -> None:
    serving = open_serving()
    document = through_asgi(ServerDoor(serving, metrics=Metrics(), background=Background()))(
        Sent("GET", "/openapi.json")
    )
    assert INFER_ROUTE in json.loads(document.body)["paths"]
