import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import pytest

from lastmile.errors import NotFound, StoreUnavailable
from lastmile.store import BEGINNING, PIECE, AlreadyExists, Conflict, Store, checked
from lastmile.ulid import new_ulid


def test_an_object_comes_back_with_an_etag_that_changes_with_it(store: Store) -> None:
    first = store.create("a/b/c.json", b"1")
    assert (store.get("a/b/c.json").data, store.get("a/b/c.json").etag) == (b"1", first)
    second = store.replace("a/b/c.json", b"2", first)
    assert second != first
    assert store.get("a/b/c.json").data == b"2"


def test_an_object_can_be_copied(store: Store) -> None:
    store.create("a/b.csv", b"1")
    store.copy("a/b.csv", "a/c.csv")
    assert store.get("a/c.csv").data == store.get("a/b.csv").data == b"1"
    with pytest.raises(NotFound):
        store.copy("a/nothing", "a/d")


def test_create_never_writes_over_what_is_there(store: Store) -> None:
    store.create("a", b"1")
    with pytest.raises(AlreadyExists, match="a exists already"):
        store.create("a", b"2")
    assert store.get("a").data == b"1"


def test_replace_wants_the_object_that_was_read(store: Store) -> None:
    first = store.create("a", b"1")
    store.replace("a", b"2", first)
    with pytest.raises(Conflict):
        store.replace("a", b"3", first)
    with pytest.raises(Conflict):
        store.replace("never written", b"3", first)
    assert store.get("a").data == b"2"
    assert not store.exists("never written")


def test_put_writes_whatever_is_there(store: Store) -> None:
    assert store.put("a/b", b"1") == store.get("a/b").etag
    store.put("a/b", b"2")
    assert store.get("a/b").data == b"2"


def test_what_has_not_changed_is_not_sent_again(store: Store) -> None:
    etag = store.create("a", b"1")
    assert store.get_if_changed("a", etag) is None
    store.replace("a", b"2", etag)
    changed = store.get_if_changed("a", etag)
    assert changed is not None
    assert changed.data == b"2"
    assert store.get_if_changed("a", changed.etag) is None


def test_what_is_not_there_is_named(store: Store) -> None:
    for read in (
        store.get,
        lambda path: store.get_if_changed(path, '"1"'),
        lambda path: list(store.pieces(path, 5)),
        lambda path: list(store.pieces(path)),
    ):
        with pytest.raises(NotFound, match="no/such"):
            read("no/such")
    assert not store.exists("no/such")
    assert list(store.list("no")) == []
    assert store.list_folders("no") == []


def test_lists_go_by_whole_names(store: Store) -> None:
    for path in ("models/a/1", "models/a/2/3", "models/ab/1", "other/1", "models/top"):
        store.create(path, b"")
    assert sorted(store.list("models/a")) == ["models/a/1", "models/a/2/3"]
    assert sorted(store.list("models")) == ["models/a/1", "models/a/2/3", "models/ab/1", "models/top"]
    assert store.list_folders("models") == ["a", "ab"]


def test_lists_have_no_end_at_a_thousand() -> None:
    store = Store.open("memory://", environ={})
    for number in range(2100):
        store.create(f"a/{number}/x", b"")
    assert len(list(store.list("a"))) == len(store.list_folders("a")) == 2100


@pytest.mark.parametrize("size", [0, 1, BEGINNING, BEGINNING + 1, PIECE, 2 * PIECE - 1, 2 * PIECE, 5 * PIECE + 17])
def test_pieces_make_up_the_whole(store: Store, size: int) -> None:
    data = os.urandom(size)
    store.create("big", data)
    assert b"".join(store.pieces("big", size)) == data
    if size:
        assert b"".join(store.pieces("big")) == data


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        "..",
        "../a",
        "a/../b",
        "a/./b",
        ".a",
        "a/.b",
        "a\\b",
        "a\x00",
        "a/..\n",
        "a\nb",
        "a\x7f",
    ],
)
def test_paths_that_lead_elsewhere_do_not_exist(store: Store, path: str) -> None:
    with pytest.raises(NotFound, match="is no path"):
        store.get(path)
    with pytest.raises(NotFound, match="is no path"):
        store.create(path, b"1")
    with pytest.raises(NotFound, match="is no path"):
        checked(path)


def test_of_many_that_create_at_once_one_succeeds(store: Store) -> None:
    def create(number: int) -> bool:
        try:
            store.create("a", b"%d" % number)
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = [number for number, created in enumerate(pool.map(create, range(16))) if created]
    assert len(won) == 1
    assert store.get("a").data == b"%d" % won[0]


def test_no_addition_is_lost_when_many_count_at_once(store: Store) -> None:
    store.create("count", b"0")

    def add() -> None:
        while True:
            stored = store.get("count")
            try:
                store.replace("count", b"%d" % (int(stored.data) + 1), stored.etag)
            except Conflict:
                continue
            return

    with ThreadPoolExecutor(4) as pool:
        for task in [pool.submit(add) for _ in range(40)]:
            task.result()
    assert store.get("count").data == b"40"


def test_a_path_may_hold_what_a_feature_file_is_called(store: Store) -> None:
    store.create("training/a model/mai + ümlaut%20.csv", b"1")
    assert store.get("training/a model/mai + ümlaut%20.csv").data == b"1"
    assert list(store.list("training")) == ["training/a model/mai + ümlaut%20.csv"]


@pytest.mark.parametrize("uri", ["", "here", "file://host/a", "file:relative", "s3://", "http://a/b", "gs://bucket"])
def test_an_address_that_is_no_store_is_refused(uri: str) -> None:
    with pytest.raises(StoreUnavailable, match="is no store"):
        Store.open(uri, environ={})


def test_a_prefix_keeps_two_stores_of_one_bucket_apart(s3_uri: str, s3_environ: dict[str, str]) -> None:
    whole = Store.open(s3_uri.removesuffix("/some/folder"), environ=s3_environ)
    part = Store.open(s3_uri, environ=s3_environ)
    part.create("a", b"1")
    assert list(whole.list("some")) == ["some/folder/a"]
    assert list(part.list("a")) == []
    assert part.exists("a")
    assert not whole.exists("a")


def test_a_missing_bucket_is_not_a_missing_object(s3_environ: dict[str, str]) -> None:
    store = Store.open("s3://no-such-bucket", environ=s3_environ)
    for use in (
        store.get,
        lambda path: store.create(path, b""),
        lambda path: list(store.list(path)),
        store.list_folders,
    ):
        with pytest.raises(StoreUnavailable, match="no such bucket"):
            use("a")


def test_reconnect_goes_on_with_the_same_objects(store: Store) -> None:
    etag = store.create("a", b"1")
    list(store.pieces("a", 1))
    store.reconnect()
    assert store.get("a").etag == etag


def test_a_dead_store_says_so_in_seconds() -> None:
    environ = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    store = Store.open("s3://bucket", environ=environ)
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match="s3://bucket does not answer"):
        store.get("a")
    assert time.monotonic() - started < 60  # and not for ever


class _Answering(ThreadingHTTPServer):
    """A server that gives every PUT the next status of a list, and keeps what it was asked."""

    def __init__(self, statuses: list[int]) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.statuses = statuses
        self.asked: list[dict[str, str]] = []


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Answering

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(self.server.statuses.pop(0))
        self.send_header("content-length", "0")
        self.send_header("etag", '"tag"')
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def answering() -> Iterator[Callable[..., tuple[Store, _Answering]]]:
    servers = []

    def start(*statuses: int, environ: dict[str, str] | None = None) -> tuple[Store, _Answering]:
        server = _Answering(list(statuses))
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"} if environ is None else environ
        return Store.open(
            "s3://bucket", environ=keys | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}
        ), server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


type Answering = Callable[..., tuple[Store, _Answering]]


def test_two_creations_under_way_at_once_are_tried_again(answering: Answering) -> None:
    store, server = answering(409, 409, 200)
    assert store.create("a", b"1") == '"tag"'
    assert [asked["if-none-match"] for asked in server.asked] == ["*"] * 3

    store, _ = answering(409, 412)
    with pytest.raises(AlreadyExists):
        store.create("a", b"1")


def test_a_replacement_that_is_refused_for_good_is_a_conflict(answering: Answering) -> None:
    for refused in ([412], [404], [409] * 5):
        store, server = answering(*refused)
        with pytest.raises(Conflict):
            store.replace("a", b"1", '"old"')
        assert server.asked[0]["if-match"] == '"old"'


def test_a_busy_store_is_asked_again_and_a_forbidding_one_is_not(answering: Answering) -> None:
    store, server = answering(503, 500, 200)
    store.create("a", b"1")
    assert len(server.asked) == 3

    store, server = answering(403)
    with pytest.raises(StoreUnavailable, match="refuses access to a"):
        store.create("a", b"1")
    assert len(server.asked) == 1


def test_the_environment_given_decides_and_not_that_of_the_process(
    answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "of-the-process")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    store, server = answering(200)
    store.create("a", b"1")
    signed = server.asked[0]
    assert "Credential=key/" in signed["authorization"]
    assert "/us-east-1/s3/" in signed["authorization"]
    assert "x-amz-security-token" not in signed


def test_session_tokens_and_regions_are_sent(answering: Answering) -> None:
    environ = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token",
        "AWS_DEFAULT_REGION": "eu-north-1",
    }
    store, server = answering(200, environ=environ)
    store.create("a", b"1")
    assert server.asked[0]["x-amz-security-token"] == "token"
    assert "/eu-north-1/s3/" in server.asked[0]["authorization"]


class TestDirectory:
    def test_nothing_is_seen_of_a_write_that_was_cut_short(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = Store.open(tmp_path.as_uri(), environ={})
        etag = store.create("a/b", b"whole")

        def cut(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", cut)
        with pytest.raises(StoreUnavailable, match="No space left"):
            store.create("a/c", b"new")
        with pytest.raises(StoreUnavailable, match="No space left"):
            store.replace("a/b", b"other", etag)
        monkeypatch.undo()
        assert list(store.list("a")) == ["a/b"]
        assert store.get("a/b").data == b"whole"
        assert [path.name for path in (tmp_path / ".lastmile").iterdir()] == ["lock"]

    def test_what_a_killed_writer_has_left_is_removed_a_day_later(self, tmp_path: Path) -> None:
        store = Store.open(tmp_path.as_uri(), environ={})
        store.create("a", b"whole")
        old, new = (new_ulid(time.time() - age) for age in (86_500, 86_300))
        for name in (old, new, "local.json"):
            (tmp_path / ".lastmile" / name).write_bytes(b"half")
            os.utime(tmp_path / ".lastmile" / name, (0, 0))
        store.put("b", b"whole")
        assert {path.name for path in (tmp_path / ".lastmile").iterdir()} == {"lock", new, "local.json"}

    def test_what_a_file_manager_leaves_behind_is_no_object(self, tmp_path: Path) -> None:
        store = Store.open(tmp_path.as_uri(), environ={})
        store.create("audit/2026/a.json", b"whole")
        for folder in (".", "audit", "audit/2026"):
            (tmp_path / folder / ".DS_Store").write_bytes(b"window positions")
        assert list(store.list("audit")) == ["audit/2026/a.json"]
        assert store.list_folders("audit") == ["2026"]

    def test_links_are_followed_and_none_of_them_in_a_circle(self, tmp_path: Path) -> None:
        root, elsewhere = tmp_path / "store", tmp_path / "another disk"
        store = Store.open(root.as_uri(), environ={})
        store.create("audit/2026/a.json", b"1")
        (elsewhere / "11").mkdir(parents=True)
        (elsewhere / "11/b.json").write_bytes(b"2")
        (root / "audit/2025").symlink_to(elsewhere)
        (root / "audit/2025/back").symlink_to(root / "audit")
        (root / "audit/gone").symlink_to(tmp_path / "nowhere")
        assert list(store.list("audit")) == ["audit/2025/11/b.json", "audit/2026/a.json"]

    def test_files_that_no_path_leads_to_are_no_objects(self, tmp_path: Path) -> None:
        store = Store.open(tmp_path.as_uri(), environ={})
        store.create("audit/a.json", b"1")
        for name in ("two\nlines", "back\\slash", os.fsdecode(b"caf\xe9")):
            (tmp_path / "audit" / name).write_bytes(b"1")
            (tmp_path / name).mkdir()
        os.mkfifo(tmp_path / "audit/pipe")
        assert list(store.list("audit")) == ["audit/a.json"]

    def test_a_folder_that_may_not_be_read_is_not_taken_for_an_empty_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = Store.open(tmp_path.as_uri(), environ={})
        store.create("audit/2026/a.json", b"1")
        scan = os.scandir

        def refuse(path: Path) -> Any:
            if str(path).endswith("2026"):
                raise PermissionError(13, "Permission denied")
            return scan(path)

        monkeypatch.setattr(os, "scandir", refuse)
        with pytest.raises(StoreUnavailable, match="cannot be used: Permission denied"):
            list(store.list("audit"))

    def test_another_disk_may_be_mounted_below_the_store(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = Store.open(tmp_path.as_uri(), environ={})
        rename = Path.replace

        def replace(source: Path, target: Path) -> Path:
            if source.parent != target.parent:
                raise OSError(18, "Invalid cross-device link")
            return rename(source, target)

        monkeypatch.setattr(Path, "replace", replace)
        etag = store.create("captures/a", b"one")
        store.replace("captures/a", b"another", etag)
        store.put("captures/b", b"2")
        assert store.get("captures/a").data == b"another"
        assert sorted(path.name for path in tmp_path.rglob("*")) == [".lastmile", "a", "b", "captures", "lock"]

    def test_what_is_replaced_while_it_is_fetched_arrives_as_it_was_looked_at(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = Store.open(tmp_path.as_uri(), environ={})
        store.put("a", b"one")
        version, digest = store.stat("a").version, hashlib.file_digest

        def overtaken(file: Any, name: str) -> Any:
            store.put("a", b"another")
            return digest(file, name)

        monkeypatch.setattr(hashlib, "file_digest", overtaken)
        store.fetch("a", into := BytesIO(), version=version)
        assert into.getvalue() == b"one"

    def test_an_upload_of_any_size_is_copied(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = Store.open(tmp_path.as_uri(), environ={})
        store.create("training/a", b"one")
        monkeypatch.setattr(Path, "read_bytes", None)  # it would be held in memory
        store.copy("training/a", "training/b")
        monkeypatch.undo()
        assert store.get("training/b").data == b"one"

    def test_a_file_is_no_directory(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("no store")
        store = Store.open((tmp_path / "notes.txt").as_uri(), environ={})
        for ask in (
            lambda: store.get("a"),
            lambda: store.create("a", b"x"),
            lambda: store.put("a", b"x"),
            lambda: store.list_folders("a"),
        ):
            with pytest.raises(StoreUnavailable, match=r"notes.txt cannot be used: it is no directory"):
                ask()

    def test_readers_see_the_old_or_the_new_object_and_nothing_between(self, tmp_path: Path) -> None:
        store = Store.open(tmp_path.as_uri(), environ={})
        etag = store.create("a", b"0" * 300_000)
        seen: set[bytes] = set()
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                seen.add(store.get("a").data)

        reader = threading.Thread(target=read)
        reader.start()
        for number in range(1, 30):
            etag = store.replace("a", str(number % 10).encode() * 300_000, etag)
        done.set()
        reader.join()
        assert all(len(data) == 300_000 and len(set(data)) == 1 for data in seen)

    def test_no_addition_is_lost_between_processes(self, tmp_path: Path) -> None:
        store = Store.open(tmp_path.as_uri(), environ={})
        store.create("count", b"0")
        script = """
import sys
from lastmile.store import Conflict, Store
store = Store.open(sys.argv[1], environ={})
done = 0
while done < 50:
    stored = store.get("count")
    try:
        store.replace("count", b"%d" % (int(stored.data) + 1), stored.etag)
    except Conflict:
        continue
    done += 1
"""
        adding = [subprocess.Popen([sys.executable, "-c", script, tmp_path.as_uri()]) for _ in range(3)]
        assert [process.wait(60) for process in adding] == [0, 0, 0]
        assert store.get("count").data == b"150"

    def test_the_directory_need_not_be_there_to_be_read(self, tmp_path: Path) -> None:
        store = Store.open((tmp_path / "new").as_uri(), environ={})
        assert store.list_folders("models") == []
        with pytest.raises(NotFound):
            store.get("a")
        assert not (tmp_path / "new").exists()

    def test_a_folder_is_no_object(self, tmp_path: Path) -> None:
        store = Store.open(tmp_path.as_uri(), environ={})
        store.create("a/b", b"1")
        for path in ("a", "a/b/c"):
            with pytest.raises(NotFound):
                store.get(path)
        assert not store.exists("a")
        with pytest.raises(StoreUnavailable, match=r"cannot be used: File exists \(.*/a/b\)"):
            store.put("a/b/c", b"1")

    def test_a_directory_that_cannot_be_written_is_a_store_that_is_not_available(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        with pytest.raises((StoreUnavailable, NotFound), match="file"):
            Store.open((tmp_path / "file").as_uri(), environ={}).create("a", b"1")


def test_importing_the_registry_brings_in_nothing_that_is_slow() -> None:
    script = "import sys, lastmile.registry; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    slow = {"asyncio", "pydantic", "boto3", "botocore", "onnx", "onnxruntime", "fastapi", "concurrent.futures", "http"}
    assert slow.isdisjoint(loaded)
    assert "obstore" in loaded


def test_an_object_is_fetched_in_the_version_that_was_looked_at(store: Store, tmp_path: Path) -> None:
    store.put("training/fraud/may.csv", b"one")
    seen = store.stat("training/fraud/may.csv")
    with (tmp_path / "copy").open("wb") as file:
        store.fetch("training/fraud/may.csv", file, version=seen.version)
    assert (tmp_path / "copy").read_bytes() == b"one"
    assert (seen.size, seen.version != "") == (3, True)
    assert store.stat("training/fraud/may.csv", version=seen.version) == seen


@pytest.mark.parametrize("act", ["stat", "fetch"])
def test_a_version_that_was_replaced_is_not_found(store: Store, act: str) -> None:
    store.put("training/fraud/may.csv", b"one")
    old = store.stat("training/fraud/may.csv").version
    store.put("training/fraud/may.csv", b"another")
    with pytest.raises(NotFound):
        if act == "stat":
            store.stat("training/fraud/may.csv", version=old)
        else:
            store.fetch("training/fraud/may.csv", BytesIO(), version=old)


def test_every_version_of_a_bucket_that_keeps_them_can_be_fetched(s3_environ: dict[str, str], s3_uri: str) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=s3_environ["AWS_ENDPOINT_URL"],
        region_name="eu-west-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    bucket = s3_uri.removeprefix("s3://").partition("/")[0]
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    client.close()
    store = Store.open(s3_uri, environ=s3_environ)
    store.put("a", b"one")
    old = store.stat("a").version
    store.put("a", b"another")
    into = BytesIO()
    store.fetch("a", into, version=old)
    assert into.getvalue() == b"one"
    assert store.stat("a", version=old).size == 3


def test_what_is_not_there_has_no_size(store: Store) -> None:
    with pytest.raises(NotFound):
        store.stat("training/fraud/may.csv")


def test_a_part_of_an_object_is_read_alone(store: Store) -> None:
    store.put("some/object", b"0123456789")
    assert bytes(store.part("some/object", 3, 6)) == b"345"
    with pytest.raises(NotFound):
        store.part("no/object", 0, 1)
