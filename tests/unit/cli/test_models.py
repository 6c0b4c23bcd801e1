from typing import Any

import pytest


def test_models_shows_what_serves_and_the_last_change(lastmile: Any, iris: Any) -> None:
    lastmile("release", "canary", "iris", 2, "--weight", "5%", "--why", "try")
    header, row = lastmile("models").out.splitlines()
    assert header.split() == [
        "model",
        "champion",
        "challenger",
        "shadow",
        "latest",
        "revision",
        "last",
        "changed",
        "(UTC)",
    ]
    assert row.split()[:8] == ["iris", "1", "2", "(5", "%)", "-", "3", "2"]
    assert row.endswith(("(just now)", "s ago)"))


def test_versions_shows_numbers_and_roles_newest_first(lastmile: Any, iris: Any) -> None:
    lastmile("release", "canary", "iris", 2, "--weight", "0.25", "--why", "try")
    lastmile("release", "reject", "iris", 3, "--why", "bad")
    header, *rows = lastmile("versions", "iris").out.splitlines()
    assert header.split()[:4] == ["version", "role", "accuracy", "size"]
    assert [row.split()[0] for row in rows] == ["3", "2", "1"]
    assert "rejected" in rows[0]
    assert "challenger 25 %" in rows[1]
    assert "champion" in rows[2]
    assert rows[2].split()[2] == "0.91"


def test_versions_takes_the_newest_up_to_the_limit(lastmile: Any, iris: Any) -> None:
    found = lastmile("versions", "iris", "--limit", "2", "--json").json["versions"]
    assert [version["version"] for version in found] == [3, 2]
    assert found[0]["metrics"] == {"accuracy": 0.93, "note": "text"}
    assert found[0]["role"] is None


def test_a_version_can_have_two_roles(lastmile: Any, iris: Any) -> None:
    lastmile("release", "promote", "iris", 2, "--why", "better")
    lastmile("release", "shadow", "iris", 1, "--why", "compare")
    roles = {item["version"]: item["role"] for item in lastmile("versions", "iris", "--json").json["versions"]}
    assert roles == {1: "shadow, previous", 2: "champion", 3: None}


@pytest.mark.parametrize("words", [("versions", "rose"), ("release", "show", "rose"), ("audit", "rose")])
def test_an_unknown_model_is_named_with_the_next_step(lastmile: Any, iris: Any, words: tuple[str, ...]) -> None:
    outcome = lastmile(*words)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "Model 'rose' does not exist.\n→ See `lastmile models`.\n"


def test_a_folder_that_is_no_registry_is_said_and_not_made(lastmile: Any, workspace: Any) -> None:
    outcome = lastmile("models", "--registry", workspace.registry_folder)
    assert outcome.code == 1
    assert "There is no registry in" in outcome.err
    assert not workspace.registry_folder.exists()


def test_an_empty_registry_says_how_to_begin(lastmile: Any, workspace: Any) -> None:
    workspace.registry_folder.mkdir()
    outcome = lastmile("models", "--registry", workspace.registry_folder.as_uri())
    assert (outcome.code, outcome.out) == (0, "")
    assert "lastmile push" in outcome.err
    assert lastmile("models", "--registry", workspace.registry_folder, "--json").json == {"models": []}


def test_an_unknown_kind_of_registry_is_refused(lastmile: Any) -> None:
    assert "'ftp://host' is no store" in lastmile("models", "--registry", "ftp://host").err


def test_s3_without_credentials_says_so(lastmile: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    outcome = lastmile("models", "--registry", "s3://some-bucket", "--region", "eu-west-1")
    assert outcome.code == 1
    assert "No AWS credentials were found." in outcome.err


def test_s3_with_a_profile_takes_that_profiles_keys(
    lastmile: Any, iris: Any, s3_uri: str, s3_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = iris.write("keys", "[ops]\naws_access_key_id = testing\naws_secret_access_key = testing\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_environ["AWS_ENDPOINT_URL"])
    outcome = lastmile("models", "--registry", s3_uri, "--profile", "ops", "--region", "eu-west-1", "--json")
    assert outcome.json == {"models": []}
    assert lastmile("models", "--registry", s3_uri, "--profile", "nobody", "--region", "eu-west-1").code == 1


def test_a_model_whose_first_write_was_cut_short_hides_no_other(lastmile: Any, iris: Any) -> None:
    (iris.registry_folder / "models/ghost").mkdir()
    assert [release["model"] for release in lastmile("models", "--json").json["models"]] == ["iris"]
    assert lastmile("audit", "verify", "--all", "--json").json == {"intact": True, "problems": {"iris": []}}
    assert "Model 'ghost' does not exist." in lastmile("versions", "ghost").err
