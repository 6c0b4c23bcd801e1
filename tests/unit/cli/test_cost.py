import math
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.cost_curves import HIGHEST, LOWEST, Curves, in_svg, in_text
from cli.cost_load import HOURS_PER_MONTH, PROFILES, cold_share, requests, room, spread, waiting
from cli.cost_measure import captured
from cli.cost_options import VCPU_MB, Assumed, Estimate, Market, Measured, cheapest
from cli.errors import CommandFailed
from cli.prices import TABLE, Prices
from lastmile.profile import Layout, Profile
from lastmile.tensors import Signature, TensorSpec

TEN = Measured(10.0, 20.0, 6.0, 50.0, 100.0, 400.0, 100.0, 0.5, "by a test")
MARKET = Market(Prices.read(), TEN)
FLAT = spread("flat", 5.0)


def one(family: str, market: Market = MARKET, **load: Any) -> Estimate:
    return cheapest(market.all(spread(load.get("profile", "flat"), load.get("rps", 5.0))))[family]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_keeps_the_mean_and_the_month(profile: str) -> None:
    hours = spread(profile, 5.0)
    assert sum(hours.values()) == pytest.approx(HOURS_PER_MONTH)
    assert requests(hours) == pytest.approx(5.0 * 3600 * HOURS_PER_MONTH)


def test_profiles_differ_in_their_busiest_hour() -> None:
    peaks = {profile: max(spread(profile, 1.0)) for profile in PROFILES}
    assert peaks["flat"] == pytest.approx(1.0)
    assert 1.5 < peaks["diurnal"] < peaks["weekly"] < peaks["bursty"]


def test_room_for_a_poisson_number_of_requests() -> None:
    assert [room(busy) for busy in (0.001, 0.05, 1.0, 10.0)] == [1, 2, 5, 21]
    assert room(1000.0) == pytest.approx(1000 + 3.1 * math.sqrt(1000) + 1, abs=1)


@pytest.mark.parametrize(
    ("rate", "seconds", "servers", "share", "wait"),
    [
        (0.5, 1.0, 1, 0.5, 0.0),  # half of the requests find an M/M/1 queue of this load empty
        (0.5, 1.0, 1, 0.99, math.log(0.5 / 0.01) / 0.5),
        (1.0, 1.0, 2, 0.99, math.log((1 / 3) / 0.01) / 1.0),  # Erlang's C for two servers at one erlang is 1/3
    ],
)
def test_waiting_in_line(rate: float, seconds: float, servers: int, share: float, wait: float) -> None:
    assert waiting(rate, seconds, servers, share) == pytest.approx(wait, abs=1e-9)


@pytest.mark.parametrize(("servers", "load"), [(101, 60.6), (200, 138.0), (1000, 600.0)])
def test_hardly_anybody_waits_for_one_of_many_servers(servers: int, load: float) -> None:
    """Erlang's B as it is defined, by the terms load^k / k!, and his C of it: what is left out is below 1e-5."""
    terms = [math.exp(k * math.log(load) - math.lgamma(k + 1) - load) for k in range(servers + 1)]
    blocked = terms[-1] / sum(terms)
    assert blocked / (1 - load / servers * (1 - blocked)) < 1e-5
    assert waiting(load, 1.0, servers, 0.99) == 0.0


def test_a_queue_for_a_million_servers_is_answered_at_once() -> None:
    """Server by server, a thousand of them would take minutes."""
    began = time.process_time()
    assert [waiting(600_000.0, 1.0, 1_000_000, 0.99) for _ in range(1000)] == [0.0] * 1000
    assert time.process_time() - began < 5.0


def test_a_queue_beyond_its_servers_never_ends() -> None:
    assert waiting(3.0, 1.0, 3, 0.5) == math.inf


def test_who_comes_rarely_finds_it_cold() -> None:
    assert cold_share(0.0001, 0.01) == 1.0
    assert cold_share(1.0, 0.01) < 0.001


def test_less_memory_is_slower_in_proportion_and_more_is_faster_for_what_is_parallel() -> None:
    assert TEN.parallel == pytest.approx(0.8)
    assert TEN.factor(VCPU_MB) == 1.0
    assert TEN.factor(VCPU_MB / 4) == pytest.approx(4.0)
    assert TEN.factor(VCPU_MB * 2) == pytest.approx(0.2 + 0.8 / 2)
    assert TEN.factor(100_000) == TEN.factor(VCPU_MB * 6)
    assert TEN.factor(VCPU_MB, speed=2.0) == 0.5


def test_a_function_costs_its_requests_its_time_and_its_snapshots() -> None:
    found = MARKET.function(FLAT, 1769, "x86")
    count, functions = requests(FLAT), MARKET.prices.functions
    bare = functions.requests(count) + functions.compute(count, 10, 1769)
    kept = functions.snapstart(HOURS_PER_MONTH * 3600, count * cold_share(5.0, 0.01), 1769)
    assert found.monthly == pytest.approx(bare + kept)
    assert (found.p50_ms, found.p99_ms) == (10.0, 20.0)


def test_sizes_that_the_model_does_not_fit_into_are_left_out() -> None:
    names = [one.name for one in replace(MARKET, measured=replace(TEN, memory_mb=500.0)).all(FLAT)]
    assert not any(name.startswith(("128 MB", "256 MB", "512 MB")) for name in names)
    assert any(name.startswith("1024 MB") for name in names)


def test_every_family_is_there() -> None:
    assert cheapest(MARKET.all(FLAT)).keys() == {
        "Lambda x86",
        "Lambda arm",
        "Lambda provisioned",
        "SageMaker serverless",
        "SageMaker CPU",
        "SageMaker GPU",
        "SageMaker GPU to zero",
        "Cascade",
    }


def test_provisioned_concurrency_is_never_cold() -> None:
    assert one("Lambda x86", rps=0.01).p99_ms > 300
    assert one("Lambda provisioned", rps=0.01).p99_ms < 300


def test_an_endpoint_that_sleeps_costs_less_and_may_take_minutes() -> None:
    always, sleeping = one("SageMaker GPU", rps=0.0005), one("SageMaker GPU to zero", rps=0.0005)
    assert sleeping.monthly < always.monthly / 2
    assert sleeping.p99_ms == math.inf
    assert one("SageMaker GPU to zero", rps=5).p99_ms < math.inf


def test_instances_are_added_by_the_hour_and_queues_stay_short() -> None:
    calm, busy = one("SageMaker CPU", rps=1), one("SageMaker CPU", rps=2000)
    assert busy.monthly > 2 * calm.monthly
    assert busy.p99_ms < 10 * calm.p99_ms
    assert "instances" in busy.note


def test_an_endpoint_that_sleeps_has_the_same_line_as_one_that_never_does() -> None:
    """60 requests a second of 20 ms each are 1.2 erlang, and with 60 % load at most two machines of one server each.

    Erlang's C for them: (1.2² / 2) / (1 - 0.6) = 1.8, and 1.8 / (1 + 1.2 + 1.8) = 0.45 have to wait; the p99 of the
    wait is ln(0.45 / 0.01) / (2 / 0.02 s - 60 / s) = 95.17 ms, and half of the requests do not wait at all.
    """
    market = replace(MARKET, measured=replace(TEN, p50_ms=200.0, p99_ms=200.0, two_ms=200.0))
    always, sleeping = (one(family, market, rps=60) for family in ("SageMaker GPU", "SageMaker GPU to zero"))
    assert always.note == "1 to 2 instances"
    front = 0.5 * 1769 / 256 + 5
    assert sleeping.p99_ms == pytest.approx(20 + 95.17 + front, abs=0.01)
    assert (sleeping.p50_ms, sleeping.p99_ms) == pytest.approx((always.p50_ms, always.p99_ms))
    assert sleeping.p50_ms == pytest.approx(20 + front)


def test_the_heavy_rows_of_a_cascade_wait_in_line() -> None:
    """A tenth of 60 requests a second, 50 ms each, are 0.3 erlang, which one machine serves: 0.3 have to wait.

    1 % of all requests are a tenth of the heavy ones; their wait is ln(0.3 / 0.1) / (1 / 0.05 s - 6 / s) = 78.47 ms.
    Where nine tenths are heavy the median is a heavy one's too, with five machines for 2.7 erlang of 60 a second:
    0.5 / 0.9 = 55.6 % of the heavy ones are slower than it, and fewer than that have to wait.
    """
    light = one("Lambda arm", rps=60)
    found = one("Cascade", rps=60)
    assert found.p50_ms == light.p50_ms
    assert found.p99_ms == pytest.approx(light.p99_ms + 5 + 50 + 78.47, abs=0.01)
    mostly = one("Cascade", replace(MARKET, assumed=Assumed(heavy_share=0.9)), rps=60)
    assert mostly.p50_ms == pytest.approx(light.p50_ms + 5 + 50)
    seldom = one("Cascade", replace(MARKET, assumed=Assumed(heavy_share=0.005)), rps=60)
    assert seldom.p99_ms == light.p99_ms


@pytest.mark.parametrize(("memory_mb", "size", "gb", "waiting_usd"), [(100, 256, 0.25, 0.24), (400, 1024, 1.0, 0.96)])
def test_a_cascade_waits_in_the_memory_of_its_light_function(
    memory_mb: float, size: int, gb: float, waiting_usd: float
) -> None:
    """5 a second in 730 hours are 13.14 million, of which 1.314 million wait for 55 ms: 72,270 seconds of so many GB.

    By the price of arm that is 72,270 * gb * 0.0000133334. The machine never sleeps: 730 h * 0.736 = 537.28.
    """
    market = replace(MARKET, measured=replace(TEN, memory_mb=memory_mb, request_bytes=0.0, response_bytes=0.0))
    found, light = one("Cascade", market), market.function(FLAT, size, "arm")
    assert found.name == f"{size} MB arm + ml.g4dn.xlarge"
    assert round(72_270 * gb * 1.33334e-5, 2) == waiting_usd
    assert found.monthly == pytest.approx(light.monthly + 72_270 * gb * 1.33334e-5 + 537.28)


@pytest.mark.parametrize(
    ("family", "share"),
    [
        ("SageMaker serverless", 1.0),
        ("SageMaker CPU", 1.0),
        ("SageMaker GPU", 1.0),
        ("SageMaker GPU to zero", 1.0),
        ("Cascade", 0.1),
        ("Lambda arm", 0.0),
        ("Lambda provisioned", 0.0),
    ],
)
def test_every_endpoint_is_billed_for_the_data_in_and_out_of_it(family: str, share: float) -> None:
    """13.14 million requests of 50,000 bytes in and 25,000 out: 657 GB and 328.5 GB, 0.016 each, are 15.768 dollars."""
    silent = replace(MARKET, measured=replace(TEN, request_bytes=0.0, response_bytes=0.0))
    asking = replace(MARKET, measured=replace(TEN, request_bytes=50_000.0, response_bytes=0.0))
    both = replace(MARKET, measured=replace(TEN, request_bytes=50_000.0, response_bytes=25_000.0))
    free, asked, answered = (one(family, market).monthly for market in (silent, asking, both))
    assert answered - free == pytest.approx(15.768 * share)
    assert asked - free == pytest.approx(657 * 0.016 * share)


def test_a_model_that_no_function_holds_has_no_cascade() -> None:
    found = replace(MARKET, measured=replace(TEN, memory_mb=11_000.0)).all(FLAT)
    assert {one.family for one in found} == {"SageMaker CPU", "SageMaker GPU", "SageMaker GPU to zero"}


@pytest.mark.parametrize(
    ("assumed", "family"),
    [
        (Assumed(arm_speed=2.0), "Lambda arm"),
        (Assumed(cold_ms=2000.0), "Lambda x86"),
        (Assumed(gpu_speedup=2.0), "SageMaker GPU"),
        (Assumed(heavy_share=0.9), "Cascade"),
        (Assumed(heavy_ms=500.0), "Cascade"),
    ],
)
def test_every_assumption_counts(assumed: Assumed, family: str) -> None:
    rare = 0.01
    assert one(family, replace(MARKET, assumed=assumed), rps=rare) != one(family, rps=rare)


def test_captures_stand_in_for_the_measured_durations() -> None:
    layout = Layout.from_rows(Signature((), (TensorSpec("label", "INT64", (-1,)),)), "classification", {}, {})
    profile = Profile.empty(layout)
    for ms in [40.0] * 98 + [400.0] * 2:
        profile = profile.observed(ms=ms, error=False, at=0.0)
    found = captured(profile, VCPU_MB // 2, TEN)
    assert found.p50_ms == pytest.approx(20, rel=0.15)
    assert found.p99_ms == pytest.approx(200, rel=0.15)
    assert found.parallel == pytest.approx(TEN.parallel)
    with pytest.raises(CommandFailed, match="Nothing was captured"):
        captured(Profile.empty(layout), 1769, TEN)


def linear(rate: float) -> Mapping[str, float]:
    return {"by request": rate, "by the hour": 7.0, "dear": 5 + 2 * rate}


def test_the_pictures_show_every_family() -> None:
    curves = Curves.of(linear)
    text, picture = in_text(curves, 5.0), in_svg(curves, 5.0, "a <model>")
    assert [line.split(maxsplit=1) for line in text.splitlines()[-3:]] == [
        ["A", "by request"],
        ["B", "by the hour"],
        ["C", "dear"],
    ]
    assert {"A", "B", "C", "|"} <= set(text)
    lines = ElementTree.fromstring(picture).findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 3


@pytest.mark.parametrize(("rps", "column"), [(LOWEST, 0), (5.0, 33), (5000.0, 60), (HIGHEST, 63)])
def test_the_pictures_hold_every_rate_that_may_be_asked_for(rps: float, column: int) -> None:
    """Seven decades, 0.001 to 10,000, on 64 columns and 520 units: 5 a second is 3.7 decades in, at 63 * 3.7 / 7."""
    curves = Curves.of(linear)
    top = in_text(curves, rps).splitlines()[1]
    assert top[11 + column] != " "
    picture = ElementTree.fromstring(in_svg(curves, rps, "a model"))
    paths = picture.findall("{http://www.w3.org/2000/svg}path")
    (asked,) = [one.get("d", "") for one in paths if one.get("class") == "asked"]
    across = 70 + 520 * (math.log10(rps) + 3) / 7
    assert asked == f"M{across:.1f} 40.0L{across:.1f} 400.0"
    assert 70 <= across <= 590
    ticks = [one.text for one in picture.findall("{http://www.w3.org/2000/svg}text") if one.get("class") == "mid"]
    assert ticks[:-1] == ["0.001", "0.01", "0.1", "1", "10", "100", "1,000", "10,000"]


def test_the_picture_of_one_price_has_a_height() -> None:
    text = in_text(Curves.of(lambda rate: {"free": 0.0}), 5.0)
    assert text.splitlines()[0].strip().startswith("$0.10")


def test_the_command_prints_a_table_a_picture_and_the_crossovers(lastmile: Any, iris: Any) -> None:
    done = lastmile("cost", "iris", "--rps", 5, "--profile", "bursty", "--plot", iris.root / "cost.svg")
    assert done.code == 0
    assert done.out.startswith("iris: 5 requests per second on average, bursty\n")
    assert "requests per second on, " in done.out
    assert (iris.root / "cost.svg").read_text().startswith("<svg")
    assert "Measured: " in done.err
    assert "not checked at AWS itself: processed, ml.c5.xlarge" in done.err


@pytest.mark.parametrize("rps", [LOWEST, HIGHEST])
def test_the_command_answers_at_every_rate_that_it_takes(lastmile: Any, iris: Any, rps: float) -> None:
    done = lastmile("cost", "iris", "--rps", rps)
    assert done.code == 0
    assert f"iris: {rps:g} requests per second" in done.out


def test_the_command_as_json_has_no_infinities(lastmile: Any, iris: Any) -> None:
    document = lastmile("cost", "iris", "--rps", 0.001, "--json").json
    assert document["region"] == "us-east-1"
    sizes = document["measured"]["request_bytes"], document["measured"]["response_bytes"]
    assert sizes == (3 * 4, 8 + 2 * 4)  # three 32-bit numbers in; one of 64 bits and two of 32 out
    slow = [row for row in document["estimates"] if row["family"] == "SageMaker GPU to zero"]
    assert {row["p99_ms"] for row in slow} == {None}
    assert document["sources"][0]["url"] == "https://aws.amazon.com/lambda/pricing/"
    assert len(document["estimates"]) > len({row["family"] for row in document["estimates"]})


def test_all_sizes_are_shown_when_asked_for(lastmile: Any, iris: Any) -> None:
    few, many = (lastmile("cost", "iris", *words).out.splitlines() for words in ([], ["--all"]))
    assert len(many) > len(few) + 20


def test_another_region_needs_its_prices(lastmile: Any, iris: Any, tmp_path: Path) -> None:
    done = lastmile("cost", "iris", "--region", "eu-central-1")
    assert done.code == 1
    assert "holds prices of us-east-1, not of eu-central-1" in done.err
    mine = tmp_path / "mine.toml"
    mine.write_text(TABLE.read_text().replace("us-east-1", "eu-central-1"))
    assert lastmile("cost", "iris", "--region", "eu-central-1", "--prices", mine).code == 0


@pytest.mark.parametrize(
    ("name", "complaint", "advice"),
    [
        ("cost.png", "would hold an SVG picture", "a name that ends in .svg"),
        ("cost", "would hold an SVG picture", "a name that ends in .svg"),
        ("nope/cost.svg", "There is no folder", "Make it"),
        ("taken.svg", "cannot be written: Is a directory", "another name"),
    ],
)
def test_a_picture_that_cannot_be_written_is_refused(
    lastmile: Any, iris: Any, tmp_path: Path, name: str, complaint: str, advice: str
) -> None:
    (tmp_path / "taken.svg").mkdir()
    done = lastmile("cost", "iris", "--plot", tmp_path / name)
    assert done.code == 1
    assert complaint in done.err
    assert advice in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / name).is_file()


@pytest.mark.parametrize("option", ["--rps", "--heavy-ms", "--gpu-speedup", "--arm-speed", "--cold-ms", "--captured"])
def test_no_number_is_endless(lastmile: Any, iris: Any, option: str) -> None:
    done = lastmile("cost", "iris", option, "inf")
    assert done.code == 2
    assert f"Invalid value for '{option}'" in done.err


def test_prices_that_are_wrong_are_refused(lastmile: Any, iris: Any, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(TABLE.read_text().replace("hour = 0.115", 'hour = "x"'))
    done = lastmile("cost", "iris", "--prices", mine)
    assert done.code == 1
    assert "hour of ml.m5.large is 'x', not a price above 0" in done.err
    assert "for the form" in done.err


def test_captures_are_a_stacks(lastmile: Any, iris: Any) -> None:
    assert "captures are a stack's" in lastmile("cost", "iris", "--captured", 24).err
