import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from cli import push
from lastmile.registry import Registry
from lastmile.store import Store


def test_a_push_registers_the_file_with_who_and_why(lastmile: Any, workspace: Any) -> None:
    model = workspace.model()
    outcome = lastmile("push", model, "--spec", workspace.spec, "--registry", workspace.registry_folder, "--why", "new")
    manifest = workspace.registry.manifest("iris", 1)
    assert (outcome.code, manifest.artefact.sha256) == (0, hashlib.sha256(model.read_bytes()).hexdigest())
    assert workspace.registry.artefact(manifest) == model.read_bytes()
    assert manifest.signature.inputs[0].columns == ("length", "width", "height")
    entry = workspace.registry.audit("iris")[0]
    assert (entry.action, entry.why) == ("register", "new")
    assert "@" in entry.actor
    assert workspace.registry.release("iris").champion is None
    assert "lastmile release promote iris 1" in outcome.err


def test_promote_makes_it_champion_at_once(lastmile: Any, workspace: Any) -> None:
    words = ("push", workspace.model(), "--spec", workspace.spec, "--registry", workspace.registry_folder, "--promote")
    assert lastmile(*words).code == 0
    assert workspace.registry.release("iris").champion == 1


@pytest.mark.parametrize("name", ["two words", "Größe", "100%25", "a#b"])
def test_a_registry_lies_in_a_folder_of_any_name(lastmile: Any, workspace: Any, name: str) -> None:
    folder = workspace.root / name
    words = ("push", workspace.model(), "--spec", workspace.spec, "--registry", folder, "--promote", "--json")
    assert lastmile(*words).json["champion"] == 1
    assert lastmile("models", "--registry", folder, "--json").json["models"][0]["champion"] == 1
    assert lastmile("release", "show", "iris", "--registry", folder.as_uri(), "--json").json["champion"] == 1


def test_json_is_all_there_is_on_standard_output(lastmile: Any, workspace: Any) -> None:
    words = ("push", workspace.model(), "--spec", workspace.spec, "--registry", workspace.registry_folder, "--json")
    first, second = lastmile(*words), lastmile(*words)
    assert (first.json["pushed"], first.json["manifest"]["version"]) == (True, 1)
    assert (second.json["pushed"], second.json["manifest"]["version"]) == (False, 1)


def test_the_same_file_is_pushed_once_and_another_spec_is_another_version(lastmile: Any, workspace: Any) -> None:
    words = ("push", workspace.model(), "--spec", workspace.spec, "--registry", workspace.registry_folder)
    for _ in range(3):
        assert lastmile(*words, "--promote").code == 0
    assert [manifest.version for manifest in workspace.registry.versions("iris")] == [1]
    workspace.spec.write_text(workspace.spec.read_text().replace("two scores", "two better scores"))
    assert lastmile(*words).code == 0
    assert [manifest.version for manifest in workspace.registry.versions("iris")] == [2, 1]


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
def test_a_push_killed_at_any_request_is_repeated_and_shows_no_half_version(
    lastmile: Any, workspace: Any, watched: Any, killed: Any, monkeypatch: pytest.MonkeyPatch, after_effect: bool
) -> None:
    """Another version was pushed before, so that there is something to be seen half way."""
    requests, done = 0, False
    while not done:
        requests += 1
        folder = workspace.root / f"registry-{requests}"
        words = ("--spec", workspace.spec, "--registry", folder, "--promote")
        assert lastmile("push", workspace.model(1), *words).code == 0
        store = watched(Store.open(folder.as_uri(), environ={}))
        store.kill_at, store.kill_after_effect = requests, after_effect
        with monkeypatch.context() as patched:
            patched.setattr(Store, "open", lambda uri, *, environ, store=store: store)
            with suppress(killed):
                assert lastmile("push", workspace.model(2), *words).code == 0
                done = len(store.calls) < requests  # else the request to die in had raised by itself
        visible = Registry(store.inner).versions("iris")
        assert [manifest.version for manifest in visible] in ([1], [2, 1])
        assert lastmile("push", workspace.model(2), *words).code == 0
        registry = Registry(store.inner)
        assert [manifest.version for manifest in registry.versions("iris")] == [2, 1]
        assert registry.release("iris").champion == 2
        assert registry.verify_audit("iris") == []
    assert requests > 10


def proposed(said: str) -> str:
    """The spec that an error shows."""
    return said.partition("\n\n")[2]


def test_without_a_spec_one_is_proposed_that_can_be_pushed_with(lastmile: Any, workspace: Any) -> None:
    model, folder = workspace.model(), workspace.registry_folder
    refused = lastmile("push", model, "--registry", folder)
    assert (refused.code, folder.exists()) == (1, False)
    assert "A model needs a spec" in refused.err
    spec = workspace.write("proposed.toml", proposed(refused.err))
    assert lastmile("push", model, "--spec", spec, "--registry", folder).code == 0
    assert workspace.registry.models() == ["model"]


def test_a_spec_that_names_other_tensors_is_told_what_the_file_has(lastmile: Any, workspace: Any) -> None:
    wrong = workspace.spec.read_text().replace('name = "x"', 'name = "features"')
    assert wrong != workspace.spec.read_text()
    spec = workspace.write("wrong.toml", wrong)
    refused = lastmile("push", workspace.model(), "--spec", spec, "--registry", workspace.registry_folder)
    assert (refused.code, workspace.registry_folder.exists()) == (1, False)
    assert "The model's inputs are x; the spec says features." in refused.err
    assert '[[inputs]]\nname = "x"\ndatatype = "FP32"' in refused.err


@pytest.mark.parametrize(
    ("name", "said"),
    [("model.pkl", "skl2onnx.to_onnx"), ("model.PT", "torch.onnx.export"), ("model.ubj", "onnxmltools")],
)
def test_another_frameworks_file_is_told_how_it_becomes_onnx(
    lastmile: Any, workspace: Any, name: str, said: str
) -> None:
    refused = lastmile("push", workspace.write(name, "?"), "--spec", workspace.spec)
    assert refused.code == 1
    assert f"{name} is no ONNX file" in refused.err
    assert said in refused.err


def test_a_push_into_s3_takes_the_environments_credentials(
    lastmile: Any, workspace: Any, s3_uri: str, s3_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_environ.items():
        monkeypatch.setenv(name, value)
    assert lastmile("push", workspace.model(), "--spec", workspace.spec, "--registry", s3_uri).code == 0
    assert lastmile("models", "--registry", s3_uri, "--json").json["models"][0]["model"] == "iris"


REPORT: dict[str, Any] = {
    "seed": 7,
    "data": {"sha256": "d1", "rows": 10},
    "fp32": {"file": "model.onnx", "sha256": "?", "metrics": {"accuracy": 0.9}, "compression": {"kind": "none"}},
    "int8": {"file": "model.int8.onnx", "sha256": "0" * 64, "metrics": {"accuracy": 0.8}, "compression": {}},
}


def test_a_training_report_gives_the_metrics_of_exactly_this_file(lastmile: Any, workspace: Any) -> None:
    model = workspace.model()
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    report = workspace.write("report.json", json.dumps(REPORT | {"fp32": REPORT["fp32"] | {"sha256": digest}}))
    words = ("--spec", workspace.spec, "--registry", workspace.registry_folder, "--metrics", report)
    assert lastmile("push", model, *words).code == 0
    manifest = workspace.registry.manifest("iris", 1)
    assert manifest.metrics == {"accuracy": 0.9}
    assert manifest.compression == {"kind": "none"}
    assert {key: manifest.lineage[key] for key in ("seed", "data")} == {"seed": 7, "data": {"sha256": "d1", "rows": 10}}


def test_a_report_about_other_files_is_refused(lastmile: Any, workspace: Any) -> None:
    report = workspace.write("report.json", json.dumps(REPORT))
    words = ("--spec", workspace.spec, "--registry", workspace.registry_folder, "--metrics", report)
    outcome = lastmile("push", workspace.model(), *words)
    assert outcome.code == 1
    assert "report.json describes model.onnx, model.int8.onnx, and none of them is the file to be pushed" in outcome.err
    assert not workspace.registry_folder.exists()


@pytest.mark.parametrize(
    ("described", "said"),
    [
        ({"metrics": [0.9]}, "the metrics of the file to be pushed must be a JSON object"),
        ({"metrics": {}, "compression": None}, "the compression of the file to be pushed must be a JSON object"),
    ],
)
def test_a_report_whose_metrics_nobody_could_show_is_refused(
    lastmile: Any, workspace: Any, described: dict[str, Any], said: str
) -> None:
    model = workspace.model()
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    report = workspace.write("report.json", json.dumps({"fp32": {"sha256": digest} | described}))
    words = ("--spec", workspace.spec, "--registry", workspace.registry_folder, "--metrics", report)
    outcome = lastmile("push", model, *words)
    assert outcome.code == 1
    assert said in outcome.err
    assert not workspace.registry_folder.exists()


def test_metrics_nested_beyond_reading_are_refused(lastmile: Any, workspace: Any) -> None:
    report = workspace.write("report.json", "[" * 100_000)
    words = ("--spec", workspace.spec, "--registry", workspace.registry_folder, "--metrics", report)
    outcome = lastmile("push", workspace.model(), *words)
    assert (outcome.code, outcome.out) == (1, "")
    assert "report.json is nested too deeply." in outcome.err


def test_plain_metrics_are_kept_as_they_are(lastmile: Any, workspace: Any) -> None:
    metrics = workspace.write("metrics.json", '{"accuracy": 0.5, "by_class": {"a": 1.0}}')
    words = ("--spec", workspace.spec, "--registry", workspace.registry_folder, "--metrics", metrics)
    assert lastmile("push", workspace.model(), *words).code == 0
    assert workspace.registry.manifest("iris", 1).metrics == {"accuracy": 0.5, "by_class": {"a": 1.0}}


def test_lineage_names_the_commit_and_whether_the_folder_was_changed_since(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text("")
    assert push.source_of(tmp_path / "spec.toml") == {}
    found = push.source_of(Path(__file__))["code"]
    assert len(found["commit"]) == 40
    assert isinstance(found["changed"], bool)


def bad_model(root: Path, *nodes: Any, initializers: Any = (), domains: Any = (), rows: str = "n") -> Path:
    """A file whose graph has the tensors of the spec, and these nodes from x to y."""
    graph = helper.make_graph(
        [*nodes, helper.make_node("ArgMax", ["y"], ["label"], axis=1, keepdims=0)],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [rows]),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, 2]),
        ],
        list(initializers),
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    path = root / "bad.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    return path


def text_file(root: Path) -> Path:
    path = root / "bad.onnx"
    path.write_text("not a model")
    return path


def other_domain(root: Path) -> Path:
    return bad_model(
        root, helper.make_node("Shell", ["x"], ["y"], domain="com.example.evil"), domains=["com.example.evil"]
    )


def external_data(root: Path, location: str) -> Path:
    weights = TensorProto(name="w", dims=[3, 2], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value=location)
    return bad_model(root, helper.make_node("MatMul", ["x", "w"], ["y"]), initializers=[weights])


def symbolic_link(root: Path) -> Path:
    (root / "weights.bin").symlink_to("/etc/hostname")
    return external_data(root, "weights.bin")


def integers(**values: list[int]) -> list[TensorProto]:
    return [helper.make_tensor(name, TensorProto.INT64, [len(value)], value) for name, value in values.items()]


WEIGHTS = helper.make_tensor("w", TensorProto.FLOAT, [3, 2], [0.0] * 6)


def only_single_rows(root: Path) -> Path:
    """Its graph says any number of rows, and fails on two."""
    nodes = helper.make_node("Reshape", ["x", "shape"], ["one"]), helper.make_node("MatMul", ["one", "w"], ["y"])
    return bad_model(root, *nodes, initializers=[WEIGHTS, *integers(shape=[1, 3])])


def no_rows(root: Path) -> Path:
    """Its graph says any number of rows, and none come out: nothing but a run can tell."""
    nodes = (
        helper.make_node("MatMul", ["x", "w"], ["xw"]),
        helper.make_node("Slice", ["xw", "from", "to", "axes"], ["y"]),
    )
    return bad_model(root, *nodes, initializers=[WEIGHTS, *integers(**{"from": [0], "to": [0], "axes": [0]})], rows="m")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (text_file, "bad.onnx is not an ONNX file"),
        (lambda root: external_data(root, "../secret.bin"), "'../secret.bin' of tensor 'w' leaves the folder"),
        (lambda root: external_data(root, "/etc/hostname"), "'/etc/hostname' of tensor 'w' leaves the folder"),
        (symbolic_link, "leaves the folder of the model by a symbolic link"),
        (other_domain, "unknown operator domain 'com.example.evil'"),
        (only_single_rows, "The model cannot run on a batch of 2"),
        (no_rows, "Output 'label' has 0 rows for a batch of 1"),
    ],
)
def test_a_bad_file_is_refused_with_one_sentence_and_leaves_nothing_behind(
    lastmile: Any, workspace: Any, make: Callable[[Path], Path], said: str
) -> None:
    path = make(workspace.root)
    outcome = lastmile("push", path, "--spec", workspace.spec, "--registry", workspace.registry_folder)
    assert (outcome.code, outcome.out) == (1, "")
    assert said in outcome.err
    assert "mend the model and push again" in outcome.err
    assert "Traceback" not in outcome.err
    assert not workspace.registry_folder.exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('datatype = "FP32"\nshape = [-1, 3]', 'datatype = "FP64"\nshape = [-1, 3]', "input 'x' is FP32"),
        ("shape = [-1, 2]", "shape = [-1, 5]", "output 'y' has shape [-1, 2]"),
        ('name = "y"', 'name = "z"', "outputs are label, y; the spec says label, z"),
        ('task = "classification"', 'task = "classification"\nthreshold = 0.5', "threshold: unknown key"),
        ('name = "x"', 'name = "x"\ncolour = "red"', "inputs[0].colour: unknown key"),
        ('name = "iris"', 'name = "../iris"', "name: '../iris' must be"),
        ('name = "iris"', 'name = "a/b"', "name: 'a/b' must be"),
        ('name = "iris"', 'name = "iris', "is no TOML"),
        ('task = "classification"\n', "", "task: missing"),
        ('"length", "width", "height"', '"length", "width"', "2 names for the last axis"),
    ],
)
def test_a_spec_that_is_wrong_or_contradicts_the_model_is_refused(
    lastmile: Any, workspace: Any, old: str, new: str, said: str
) -> None:
    workspace.spec.write_text(workspace.spec.read_text().replace(old, new))
    outcome = lastmile("push", workspace.model(), "--spec", workspace.spec, "--registry", workspace.registry_folder)
    assert (outcome.code, outcome.out) == (1, "")
    assert said.lower() in outcome.err.lower()
    assert "push again" in outcome.err
    assert not workspace.registry_folder.exists()


def test_a_file_over_the_limit_is_refused_without_being_read_whole(lastmile: Any, workspace: Any) -> None:
    big = workspace.root / "big.onnx"
    with big.open("wb") as file:
        file.truncate((512 << 20) + 1)  # a hole, no bytes on the disk
    outcome = lastmile("push", big, "--spec", workspace.spec, "--registry", workspace.registry_folder)
    assert outcome.code == 1
    assert "over the limit of 536,870,912 bytes" in outcome.err
    assert not workspace.registry_folder.exists()


def test_a_file_that_is_not_there_is_a_usage_error(lastmile: Any, workspace: Any) -> None:
    outcome = lastmile("push", workspace.root / "none.onnx", "--spec", workspace.spec)
    assert outcome.code == 2
    assert "does not exist" in outcome.err


def test_without_a_stack_or_a_registry_the_next_step_is_said(lastmile: Any, workspace: Any) -> None:
    outcome = lastmile("push", workspace.model(), "--spec", workspace.spec, "--local", workspace.root / "nothing")
    assert outcome.code == 3
    assert "→ Run `make up`." in outcome.err
