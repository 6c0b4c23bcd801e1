import json
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.infra.synthesis import run, synthesise
from tests.infra.templates import Stacks

OUTPUTS = {
    "Storage": {"ArtifactsBucket", "DataBucket", "KeyArn", "AlarmTopicArn", "EventBus"},
    "Identity": {"UserPoolId", "ClientId", "TokenUrl"},
    "Serving": {"ApiId", "ApiUrl", "InferenceFunction", "ControlFunction", "LogGroupPrefix"},
    "Chat": {
        "ChatQueueUrl",
        "ChatDeadLettersUrl",
        "ChatTable",
        "ChatSecrets",
        "HookFunction",
        "ChatFunction",
        "OperationsQueueUrl",
        "OperationsDeadLettersUrl",
        "OperationsFunction",
    },
    "Layers": set(),
    "Watching": {"CaptureFunction", "DriftFunction"},
    "Learning": {"LearningStateMachine", "RetrainingFunction"},
    "Batch": {"BatchStateMachine", "BatchFunction"},
}
CFN_LINT = Path(sysconfig.get_path("scripts")) / "cfn-lint"


@pytest.mark.parametrize("stack", OUTPUTS)
def test_a_stack_tells_what_programs_look_up(stacks: Stacks, stack: str) -> None:
    told = stacks.outputs[f"Lastmile-{stacks.stage}-{stack}"]
    assert {name for name in told if not name.startswith("Exports")} == OUTPUTS[stack]


def test_outputs_name_the_functions_and_their_logs(stacks: Stacks) -> None:
    told = stacks.outputs[f"Lastmile-{stacks.stage}-Serving"]
    assert told["InferenceFunction"] == f"lastmile-{stacks.stage}-inference"
    assert told["ControlFunction"] == f"lastmile-{stacks.stage}-control"
    assert told["LogGroupPrefix"] == f"/aws/lambda/lastmile-{stacks.stage}-"


def test_cfn_lint_is_content(assembly: Path, prod_assembly: Path) -> None:
    templates = [str(file) for folder in (assembly, prod_assembly) for file in folder.glob("*.template.json")]
    assert len(templates) == 2 * len(OUTPUTS)
    # W3005: CDK itself writes the dependency of a function on its role twice.
    command = [str(CFN_LINT), "--ignore-checks", "W3005", "--", *templates]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)


def test_synthesis_depends_on_checkout_and_stage_alone(
    prod_assembly: Path,
    tiny_assets: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(tiny_assets, elsewhere, copy_function=shutil.copy)  # younger files
    for variable, value in {
        "TZ": "Asia/Tokyo",
        "AWS_REGION": "eu-north-1",
        "CDK_DEFAULT_REGION": "eu-north-1",
        "CDK_DEFAULT_ACCOUNT": "123456789012",
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(variable, value)
    assert files(synthesise(tmp_path / "again", stage="prod", assets=str(elsewhere))) == files(prod_assembly)


@pytest.fixture(scope="module")
def variant(tiny_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Stacks:
    """Production with another layer."""
    folder = tmp_path_factory.mktemp("variant")
    shutil.copytree(tiny_assets, folder / "assets")
    (folder / "assets/onnx-layer-arm64/content.py").write_text("# another\n")
    return Stacks.read(synthesise(folder / "out", stage="prod", assets=str(folder / "assets")), "prod")


def test_a_change_of_the_layer_alone_publishes_a_function_anew(prod: Stacks, variant: Stacks) -> None:
    before, after = (stacks.all("Lambda::Function")["ControlFunction"] for stacks in (prod, variant))
    assert before | {"Layers": None} == after | {"Layers": None}
    assert before["Layers"] != after["Layers"]
    assert published(prod, "Control") != published(variant, "Control")


def test_the_documentation_may_name_another_place_for_tokens(prod: Stacks, dev: Stacks) -> None:
    assert told_token_url(prod) == prod.outputs["Lastmile-prod-Identity"]["TokenUrl"]
    assert told_token_url(dev) == "", "synthesised for the local AWS, whose API and tokens share an address"


def test_stacks_name_no_account_and_no_region(prod_assembly: Path) -> None:
    manifest = json.loads((prod_assembly / "manifest.json").read_text())
    stacks = [entry for entry in manifest["artifacts"].values() if entry["type"] == "aws:cloudformation:stack"]
    assert {entry["environment"] for entry in stacks} == {"aws://unknown-account/unknown-region"}
    assert "missing" not in manifest, "nothing has to be looked up"


def test_assets_that_were_not_built_are_asked_for_in_one_sentence(tmp_path: Path) -> None:
    done = run(tmp_path / "out", assets=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"{tmp_path}/onnx-layer-x86_64 is missing: run `make build` first."
    assert "Traceback" not in done.stderr


def published(stacks: Stacks, function: str) -> str:
    """The whole logical id of the version: CDK's hash of code, layers and configuration is in it."""
    template = json.loads((stacks.folder / f"Lastmile-{stacks.stage}-Serving.template.json").read_text())
    (found,) = [name for name in template["Resources"] if name.startswith(f"{function}FunctionCurrentVersion")]
    return str(found)


def told_token_url(stacks: Stacks) -> str:
    return str(stacks.one("Lambda::Function", "InferenceFunction")["Environment"]["Variables"]["LASTMILE_TOKEN_URL"])


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
