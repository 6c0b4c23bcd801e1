from functions.inference.pace import LARGE_BODY_BYTES, MAX_KEYS, Pace


def pace(*milliseconds: float) -> Pace:
    measured = Pace()
    for each in milliseconds:
        measured.record("m", each)
    return measured


def test_what_was_never_measured_is_not_quick() -> None:
    assert not Pace().is_quick("m", 10)
    assert not pace(1.0).is_quick("other", 10)


def test_five_milliseconds_part_quick_from_slow() -> None:
    assert pace(4.9).is_quick("m", 10)
    assert not pace(5.0).is_quick("m", 10)


def test_a_model_that_turns_slow_is_found_out_at_once() -> None:
    assert not pace(1.0, 1.0, 1.0, 50.0).is_quick("m", 10)


def test_one_hiccup_is_no_slow_model() -> None:
    assert pace(1.0, 1.0, 15.0).is_quick("m", 10)


def test_the_first_run_may_have_loaded_the_model_and_is_forgotten() -> None:
    assert not pace(300.0, 1.0).is_quick("m", 10)
    assert pace(300.0, *[1.0] * 25).is_quick("m", 10)


def test_a_large_body_is_never_quick() -> None:
    assert pace(1.0).is_quick("m", LARGE_BODY_BYTES - 1)
    assert not pace(1.0).is_quick("m", LARGE_BODY_BYTES)


def test_keys_that_clients_make_up_do_not_pile_up() -> None:
    measured = Pace()
    for number in range(3 * MAX_KEYS):
        measured.record(str(number), 1.0)
    assert len(measured._milliseconds) <= MAX_KEYS
