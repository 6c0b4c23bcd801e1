"""Files of this machine into S3: in parts where they are large, since one request takes 5 GB at most."""

from pathlib import Path
from typing import Any

from cli.errors import CommandFailed
from cli.output import printable, size
from cli.progress import Tell
from cli.target import Target

OPERATIONS = ("PutObject", "CompleteMultipartUpload")  # by one of them the object comes to be


def name_of(data: Path) -> str:
    """What an upload of the file is called; raises CommandFailed for a file that is not there, or has no such name."""
    if not data.is_file():
        raise CommandFailed(f"There is no file {data}.")
    if data.name.startswith(".") or "\\" in data.name or printable(data.name) != data.name:
        raise CommandFailed(f"An upload cannot be called {data.name!r}.", next_step="Give the file another name.")
    return data.name


def upload(target: Target, data: Path, bucket: str, key: str, tell: Tell) -> str | None:
    """The id of the version that was written, where the bucket keeps versions; `tell` is told how far it is."""
    client, whole = target.client("s3"), data.stat().st_size
    versions: list[str] = []
    sent = 0

    def finished(parsed: dict[str, Any], **_: object) -> None:
        if "VersionId" in parsed:
            versions.append(parsed["VersionId"])

    def advanced(count: int) -> None:
        nonlocal sent
        sent += count
        tell(f"{size(sent)} of {size(whole)}")

    for operation in OPERATIONS:
        client.meta.events.register(f"after-call.s3.{operation}", finished)
    client.upload_file(str(data), bucket, key, Callback=advanced)
    return versions[-1] if versions else None
