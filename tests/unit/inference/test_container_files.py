"""The Dockerfile and the Kubernetes manifest against the code they start."""

import json
import re
import subprocess
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from functions.inference.listening import NAMES, Listening
from functions.inference.server import GRACE_SECONDS
from functions.inference.server_door import ServerDoor
from functions.inference.serving import Serving
from lastmile.settings import Settings
from layers.uv import ROOT, uv
from tests.unit.inference.doors import Sent, server_door, through_asgi

HERE = ROOT / "functions" / "inference"
DOCS = (ROOT / "docs" / "onprem.md").read_text()


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's lines, continued ones joined, as (instruction, rest)."""
    text = re.sub(r"^#.*\n", "", (HERE / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in lines]


def rest_of(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def manifest() -> dict[str, Any]:
    documents = list(yaml.safe_load_all((HERE / "kubernetes.yaml").read_text()))
    return {document["kind"]: document for document in documents}


def pod() -> Any:
    return manifest()["Deployment"]["spec"]["template"]["spec"]


def image_environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for rest in rest_of("ENV")[-1:] for pair in rest.split())


def test_everything_copied_into_the_image_is_there_and_let_into_the_build() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    for rest in rest_of("COPY"):
        if rest.startswith("--from"):
            continue
        for source in rest.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert any(fnmatchcase(source, rule) for rule in allowed), source
    assert "*" in ignored


def test_the_image_installs_what_the_server_imports_and_nothing_of_development() -> None:
    (sync,) = [rest for rest in rest_of("RUN") if "uv sync" in rest]
    groups = re.findall(r"--group (\S+)", sync)
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert set(groups) == {"onnx-layer", "inference", "server"} <= set(declared)
    assert {"--frozen", "--no-default-groups", "--no-install-project"} <= set(sync.split())
    chosen = [argument for group in groups for argument in ("--group", group)]
    export = subprocess.run(
        [uv(), "export", "--frozen", "--quiet", "--no-emit-project", "--no-default-groups", *chosen],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    packages = set(re.findall(r"^([\w.-]+)==", export, re.MULTILINE))
    assert {
        "fastapi",
        "numpy",
        "obstore",
        "onnxruntime",
        "orjson",
        "prometheus-client",
        "uvicorn",
        "uvloop",
    } <= packages
    assert packages & {"boto3", "pytest", "aws-cdk-lib", "scikit-learn"} == set()
    assert len(re.findall("--hash=sha256:", export)) >= len(packages)


def test_the_uv_of_the_image_is_that_of_the_makefile() -> None:
    (version,) = re.findall(r"^UV_VERSION := (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert any(f"uv=={version}" in rest for rest in rest_of("RUN"))


def test_the_image_runs_the_server_as_nobody_in_particular() -> None:
    (user,) = rest_of("USER")
    assert [int(part) > 0 for part in user.split(":")] == [True, True]
    entry, command = json.loads(rest_of("ENTRYPOINT")[0]), json.loads(rest_of("CMD")[0])
    assert entry[1:] == ["-m", "functions.inference.server"]
    assert command == ["serve"]
    environ = image_environment()
    assert environ["ORT_DISABLE_TELEMETRY"] == "1"
    assert {name for name in environ if name.startswith("LASTMILE_")} <= set(NAMES)
    assert Listening.from_env(environ) == Listening(host="0.0.0.0", port=int(rest_of("EXPOSE")[0]), workers=1)


def test_the_images_health_check_is_python_that_asks_for_our_health(serving: Serving) -> None:
    (check,) = rest_of("HEALTHCHECK")
    words = json.loads(check[check.index("[") :])
    compile(words[-1], "healthcheck", "exec")
    (path,) = re.findall(r"\]\}(/\w+)'", words[-1])
    assert through_asgi(server_door(serving))(Sent("GET", path)).status == 200


def test_the_manifest_fits_together() -> None:
    objects, container = manifest(), pod()["containers"][0]
    assert set(objects) == {"ConfigMap", "PersistentVolumeClaim", "Deployment", "Service"}
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert objects["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert objects["Service"]["spec"]["selector"].items() <= labels.items()
    assert container["envFrom"][0]["configMapRef"]["name"] == objects["ConfigMap"]["metadata"]["name"]
    claimed = {volume["persistentVolumeClaim"]["claimName"] for volume in pod()["volumes"] if "emptyDir" not in volume}
    assert claimed == {objects["PersistentVolumeClaim"]["metadata"]["name"]}
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in pod()["volumes"]}
    artifacts = objects["ConfigMap"]["data"]["LASTMILE_ARTIFACTS"]
    assert artifacts == f"file://{mounts['artifacts']['mountPath']}"
    (port,) = container["ports"]
    assert str(port["containerPort"]) == image_environment()["LASTMILE_PORT"]
    assert objects["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]
    annotations = objects["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(port["containerPort"])


def test_the_manifests_settings_are_ones_the_server_takes() -> None:
    data = manifest()["ConfigMap"]["data"]
    Listening.from_env(data)
    assert Settings.from_env(data).artifacts == data["LASTMILE_ARTIFACTS"]
    assert pod()["enableServiceLinks"] is False  # a service `lastmile` would set LASTMILE_PORT=tcp://…


def test_the_pod_may_do_as_little_as_possible() -> None:
    context, container = pod()["securityContext"], pod()["containers"][0]
    user, group = map(int, rest_of("USER")[0].split(":"))
    assert (context["runAsNonRoot"], context["runAsUser"], context["runAsGroup"]) == (True, user, group)
    assert context["seccompProfile"]["type"] == "RuntimeDefault"
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod()["automountServiceAccountToken"] is False
    assert {"cpu", "memory"} == set(container["resources"]["requests"]) == set(container["resources"]["limits"])


def test_probes_tell_alive_from_ready(serving: Serving) -> None:
    container = pod()["containers"][0]
    door = server_door(serving)
    alive, ready = (Sent("GET", container[f"{kind}Probe"]["httpGet"]["path"]) for kind in ("liveness", "readiness"))
    ask = through_asgi(door)
    assert (ask(alive).status, ask(ready).status) == (200, 200)
    door.ready = False
    assert (ask(alive).status, ask(ready).status) == (200, 503)


def test_a_pod_has_time_to_finish() -> None:
    (_, seconds) = pod()["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert pod()["terminationGracePeriodSeconds"] >= int(seconds) + GRACE_SECONDS


@pytest.mark.parametrize("name", [name for name in NAMES if name != "LASTMILE_STAGE"])
def test_every_setting_is_in_the_documentation(name: str) -> None:
    assert f"| `{name}` |" in DOCS


def test_the_documentation_names_no_setting_there_is_not() -> None:
    assert set(re.findall(r"LASTMILE_\w+", DOCS)) <= set(NAMES)


def test_every_metric_is_in_the_documentation(serving: Serving) -> None:
    door: ServerDoor = server_door(serving)
    scraped = through_asgi(door)(Sent("GET", "/metrics")).body.decode()
    families = set(re.findall(r"^# TYPE (lastmile_\w+)", scraped, re.MULTILINE))
    families = {name for name in families if not name.endswith("_created")}
    assert len(families) == 13
    assert [name for name in sorted(families) if f"`{name}`" not in DOCS] == []


def test_files_the_documentation_names_are_there() -> None:
    for path in re.findall(r"`((?:functions|docs)/[\w./]+)`", DOCS):
        assert Path(ROOT, path).exists(), path
