from lastmile.heavy import names


def test_a_version_is_found_by_stage_model_and_number() -> None:
    assert names.endpoint("dev") == "lastmile-dev-heavy"
    assert names.component("dev", "tickets", 3) == "lastmile-dev-tickets-v3"
    assert names.asynchronous("dev", "tickets", 3) == "lastmile-dev-tickets-v3-async"


def test_no_name_is_longer_than_sagemaker_takes_and_none_is_shared() -> None:
    found = [
        make("prod", f"{'m' * length}{last}", version)
        for make in (names.component, names.asynchronous)
        for length in (1, 30, 45, 62)
        for last in "ab"
        for version in (1, 123456)
    ]
    assert max(map(len, found)) <= names.LONGEST
    assert len(set(found)) == len(found)
    assert all(name.endswith(("-v1", "-v123456", "-v1-async", "-v123456-async")) for name in found)
