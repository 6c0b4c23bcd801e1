from lastmile.ulid import new_ulid


def test_a_ulid_has_26_characters_of_crockfords_alphabet() -> None:
    assert set(new_ulid()) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    assert len(new_ulid()) == 26


def test_ulids_sort_by_time() -> None:
    assert new_ulid(1.0) < new_ulid(1.5) < new_ulid(4_000_000_000.0)


def test_ulids_of_one_moment_differ() -> None:
    assert len({new_ulid(1.0) for _ in range(1000)}) == 1000


def test_the_time_is_the_one_of_the_specification() -> None:
    assert new_ulid(1469918176.385).startswith("01ARYZ6S41")
