from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cli.target import Access, Credentials, Target
from cli.transfer import upload
from lastmile.store import Store


@pytest.fixture
def target(s3_environ: dict[str, str], s3_uri: str) -> Target:
    """Its data bucket keeps versions."""
    access = Access(region="eu-west-1", credentials=Credentials("k", "s"), endpoint_url=s3_environ["AWS_ENDPOINT_URL"])
    names = ("stage", "api_url", "token_url", "user_pool_id", "client_id", "client_secret", "api_id")
    bucket = urlsplit(s3_uri).netloc
    access.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    own = {"artifacts_bucket": "a", "data_bucket": bucket, "log_group_prefix": "/"}
    return Target(access=access, functions={}, **dict.fromkeys(names, "x"), **own)


@pytest.mark.parametrize(("count", "told"), [(0, "0 B of 0 B"), (3, "3 B of 3 B"), (9_000_000, "9.0 MB of 9.0 MB")])
def test_small_and_large_files_are_uploaded_as_the_version_that_is_told(
    target: Target, tmp_path: Path, count: int, told: str
) -> None:
    data = tmp_path / "data.csv"
    data.write_bytes(b"x" * count)
    heard = ["0 B of 0 B"]
    version = upload(target, data, target.data_bucket, "training/m/data.csv", heard.append)
    (tmp_path / "later.csv").write_text("later")
    upload(target, tmp_path / "later.csv", target.data_bucket, "training/m/data.csv", heard.append)
    stat = Store.open(f"s3://{target.data_bucket}", environ=target.environ).stat("training/m/data.csv", version=version)
    assert (stat.size, stat.version) == (count, version)
    assert heard[-2] == told
