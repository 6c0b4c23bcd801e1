"""The arithmetic against worked examples, to the cent.

Lambda's are those of its price page, https://aws.amazon.com/lambda/pricing/, all in us-east-1 and in the order of the
page. SageMaker's page could not be read; what stands for its examples are sums that AWS has printed elsewhere.
"""

import re
from datetime import date
from pathlib import Path

import pytest

from cli.errors import CommandFailed
from cli.prices import TABLE, Instance, Prices
from infra.accelerators import INSTANCES

PRICES = Prices.read()
FUNCTIONS = PRICES.functions


def cents(amount: float) -> float:
    return round(amount, 2)


def test_mobile_application_backend() -> None:
    compute = FUNCTIONS.compute(3e6, 120, 1536, free=True)
    requests = FUNCTIONS.requests(3e6, free=True)
    assert (cents(compute), cents(requests), cents(compute + requests)) == (2.33, 0.40, 2.73)


def test_enriching_streaming_telemetry() -> None:
    count = 10_000 * 24 * 31
    requests, compute = FUNCTIONS.requests(count), FUNCTIONS.compute(count, 2000, 1024)
    assert (cents(requests), cents(compute), cents(requests + compute)) == (1.49, 248.00, 249.49)


def test_machine_learning_on_support_tickets() -> None:
    compute, requests = FUNCTIONS.compute(6e6, 280, 4096, free=True), FUNCTIONS.requests(6e6, free=True)
    storage = FUNCTIONS.storage(6e6, 280, 2048)
    assert (cents(compute), cents(requests), cents(storage)) == (105.33, 1.00, 0.08)
    assert cents(compute + requests + storage) == 106.41


def test_provisioned_concurrency_for_the_launch_of_an_application() -> None:
    kept = FUNCTIONS.provisioned(100, 8 * 3600, 1536)
    requests = FUNCTIONS.requests(3e6, free=True)
    while_kept = FUNCTIONS.provisioned_compute(500_000, 100, 1536)
    otherwise = FUNCTIONS.compute(2.5e6, 120, 1536, free=True)
    assert [cents(one) for one in (kept, requests, while_kept, otherwise)] == [18.00, 0.40, 0.73, 0.83]
    assert cents(sum(map(cents, (kept, requests, while_kept, otherwise)))) == 19.96


def test_provisioned_concurrency_on_cyber_monday() -> None:
    kept = FUNCTIONS.provisioned(7, 24 * 3600, 4096)
    compute, requests = FUNCTIONS.provisioned_compute(2e6, 280, 4096), FUNCTIONS.requests(2e6)
    assert [cents(one) for one in (kept, compute, requests)] == [10.08, 21.78, 0.40]
    assert cents(kept + compute + requests) == 32.26


def test_snapstart_for_streaming_telemetry() -> None:
    month = 24 * 31 * 3600
    assert cents(FUNCTIONS.snapstart(month, 0, 1024)) == 4.03
    assert cents(FUNCTIONS.snapstart(0, 74_400, 1024)) == 10.40


def test_arm_in_the_example_of_durable_functions() -> None:
    compute = FUNCTIONS.compute(1e6, 32_000, 1024, architecture="arm", free=True)
    assert (cents(compute), cents(FUNCTIONS.requests(2e6, free=True))) == (421.34, 0.20)


def test_serverless_inference_by_the_price_list() -> None:
    """No example of SageMaker's own page could be read; the list has 0.00006 dollars for a second of 3 GB."""
    assert cents(PRICES.serverless.cost(1000, 1000, 3)) == 0.06
    assert cents(PRICES.serverless.cost(1000, 10_000, 3)) == 0.60


def test_data_processed_by_an_endpoint() -> None:
    """A million requests of 40,000 bytes, answered with 10,000: 40 GB in and 10 GB out, 0.016 dollars each."""
    assert cents(PRICES.processed.cost(1e6, 40_000, 10_000)) == cents(0.64 + 0.16) == 0.80
    assert cents(PRICES.processed.cost(1e6, 40_000, 0)) == 0.64


# A bill for December 2023 in eu-west-1: what AWS charged for endpoints by the hour.
# https://github.com/aws-samples/sagemaker-ssh-helper/blob/b6bf9ba39119784eb6ce6683ae9a6a2ed8ef4cd3/Sample_Costs.md
BILLED = [
    ("ml.m5.xlarge", 0.257, 8.208, 2.11),
    ("ml.g4dn.xlarge", 0.821, 1.299, 1.07),
    ("ml.g4dn.4xlarge", 1.678, 74.998, 125.85),
    ("ml.g4dn.12xlarge", 5.453, 31.543, 172.00),
    ("ml.g5.12xlarge", 7.91, 22.409, 177.26),
]


@pytest.mark.parametrize(("name", "hour", "hours", "billed"), BILLED)
def test_endpoints_cost_what_a_bill_says(name: str, hour: float, hours: float, billed: float) -> None:
    assert cents(Instance(name, hour, 4).cost(hours)) == billed


def test_an_endpoint_of_eight_hours_on_twenty_days_as_awss_calculator_has_it() -> None:
    """One ml.g5.2xlarge in us-east-1, and 240 GB-months of gp2, of which `lastmile cost` leaves out the disk.

    https://github.com/awslabs/stable-diffusion-aws-extension/blob/0d5d93dab4876323522dc90e254f9c4b66809252/docs/en/cost.md
    """
    disk = 240 * 0.14  # what others say that a GB-month of an endpoint's disk costs
    machine = Instance("ml.g5.2xlarge", INSTANCES["ml.g5.2xlarge"].usd_per_hour, 8)
    assert cents(machine.cost(8 * 20) + disk) == 276.00


def test_an_instance_is_paid_by_the_hour() -> None:
    hours = 2 * 24 * 31
    assert cents(next(one for one in PRICES.instances if one.name == "ml.m5.large").cost(hours)) == 171.12


def test_a_call_is_billed_by_whole_milliseconds() -> None:
    assert FUNCTIONS.compute(1e6, 1.01, 1024) == FUNCTIONS.compute(1e6, 2, 1024)


def test_every_price_has_its_page_and_its_day() -> None:
    for source in PRICES.sources:
        assert source.url.startswith("https://aws.amazon.com/")
        assert source.date >= date(2026, 11, 21)
        assert source.checked in ("page", "list", "others")


def test_the_templates_have_the_same_prices() -> None:
    from infra.config import GB_SECOND_USD, REQUEST_USD

    assert FUNCTIONS.gb_second == {"x86": GB_SECOND_USD["x86_64"], "arm": GB_SECOND_USD["arm64"]}
    assert FUNCTIONS.request == REQUEST_USD
    for one in PRICES.instances:
        if one.gpu:
            assert INSTANCES[one.name].usd_per_hour == one.hour


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (('region = "us-east-1"', ""), "the file does not say 'region'"),
        (('region = "us-east-1"', "region = 1"), "region of the file is 1, not a text"),
        (('region = "us-east-1"', 'region = "r"\ncurrency = "EUR"'), "the file says 'currency', which nothing reads"),
        (("request = 2.0e-7", "requests = 2.0e-7"), "lambda does not say 'request'"),
        (("request = 2.0e-7", "request = 2.0e-7\nrequested = 1"), "lambda says 'requested', which nothing reads"),
        (("request = 2.0e-7", "request = 0"), "request of lambda is 0, not a price above 0"),
        (("[lambda]", "[lambda"), "Expected ']'"),
        (("gb_in = 0.016", "gb_in = -1"), "gb_in of processed is -1, not 0 or a price above it"),
        (("hour = 0.115", 'hour = "x"'), "hour of ml.m5.large is 'x', not a price above 0"),
        (("hour = 0.115", "hour = nan"), "hour of ml.m5.large is nan, not a price above 0"),
        (("hour = 0.115", "hour = inf"), "hour of ml.m5.large is inf, not a price above 0"),
        (("hour = 0.115", "hour = true"), "hour of ml.m5.large is True, not a price above 0"),
        (("hour = 0.115", "hour = 1" + "0" * 400), "not a price above 0"),
        (("vcpus = 2", "vcpus = 0"), "vcpus of ml.m5.large is 0, not a whole number from 1 to 1024"),
        (("vcpus = 2", "vcpus = 2.5"), "vcpus of ml.m5.large is 2.5, not a whole number"),
        (("gpu = true", "gpu = 1"), "gpu of ml.g4dn.xlarge is 1, not true or false"),
        (("largest_gb = 6", "largest_gb = 0"), "largest_gb of serverless is 0, not a whole number from 1 to 1024"),
        ((", arm = 1.33334e-5", ""), "gb_second of lambda does not say 'arm'"),
        (("arm = 1.33334e-5", "arm = -1.0"), "arm of gb_second of lambda is -1.0, not a price above 0"),
        (("arm = 1.33334e-5", "arm = 1.0, mips = 1.0"), "gb_second of lambda says 'mips', which nothing reads"),
        (("gb_second = 2.0e-5", "gb_second = {}"), "gb_second of serverless is {}, not a price above 0"),
        (("{ x86 = 1.66667e-5, arm = 1.33334e-5 }", "1.66667e-5"), "gb_second of lambda is 1.66667e-05, not a section"),
        (("date = 2026-11-21", 'date = "yesterday"'), "date of lambda is 'yesterday', not a day, without quotes"),
        (("date = 2026-11-21", "date = 2026-11-21T08:00:00Z"), "date of lambda is datetime"),
        (('checked = "page"', 'checked = "surely"'), "checked of lambda is 'surely', not one of page, list, others"),
        (('name = "ml.m5.large"', ""), "instance 2 does not say 'name'"),
    ],
)
def test_a_table_of_ones_own_is_checked(change: tuple[str, str], complaint: str, tmp_path: Path) -> None:
    file, text = tmp_path / "prices.toml", TABLE.read_text()
    assert change[0] in text
    file.write_text(text.replace(*change, 1))
    with pytest.raises(CommandFailed, match=re.escape(complaint)) as failed:
        Prices.read(file)
    assert str(failed.value).startswith(f"{file} is no table of prices: ")
    assert failed.value.next_step == f"See {TABLE} for the form."


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the file does not say 'region'"),
        ('region = "r"\nlambda = 3', "lambda is 3, not a section"),
        ('region = "r"\n[lambda]\n[serverless]\n[processed]\n[instance]', "not a list, each part of which begins with"),
        ('region = "r"\ninstance = [1]\n[lambda]\n[serverless]\n[processed]', "instance 1 is 1, not a section"),
    ],
)
def test_what_is_no_table_at_all_is_refused(text: str, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(CommandFailed, match=complaint):
        Prices.read(file)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "prices.toml"
    binary.write_bytes(b"\xff\xfe")
    for path, complaint in ((tmp_path / "none.toml", "No such file"), (tmp_path, "directory"), (binary, "utf-8")):
        with pytest.raises(CommandFailed, match=complaint):
            Prices.read(path)


def test_what_some_regions_give_for_nothing_may_be_free(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(TABLE.read_text().replace("snapstart_restore_gb = 1.397998e-4", "snapstart_restore_gb = 0"))
    assert Prices.read(file).functions.snapstart(0, 1e6, 1024) == 0
