from dataclasses import FrozenInstanceError, replace

import pytest

from infra.config import DEV, PROD, choose


def test_a_stage_is_chosen_by_name() -> None:
    assert choose("dev") is DEV
    assert choose("prod") is PROD


def test_the_architecture_may_be_another() -> None:
    assert choose("dev", architecture="arm64") == replace(DEV, architecture="arm64")


@pytest.mark.parametrize(
    ("stage", "architecture", "sentence"),
    [
        ("test", None, "There is no stage 'test': choose one of dev, prod."),
        ("dev", "riscv", "Lambda has no architecture 'riscv': x86_64 or arm64."),
    ],
)
def test_what_does_not_exist_is_refused_in_one_sentence(stage: str, architecture: str | None, sentence: str) -> None:
    with pytest.raises(SystemExit) as caught:
        choose(stage, architecture=architecture)
    assert caught.value.code == sentence


def test_values_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        DEV.name = "other"  # type: ignore[misc]


def test_no_function_outlasts_the_api_in_front_of_it() -> None:
    for stage in (DEV, PROD):
        for size in (stage.inference, stage.control):
            assert size.timeout_seconds < 30  # API Gateway gives up then
            assert size.p99_alarm_ms <= size.timeout_seconds * 1000
