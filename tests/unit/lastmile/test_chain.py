"""What verify finds when somebody has been at the files of a registry in a directory."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import orjson
import pytest

from lastmile.audit import AuditEntry
from lastmile.errors import ModelNotFound, NotFound
from lastmile.registry import Registry
from lastmile.store import Store

type Push = Callable[..., Any]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory, push: Push) -> Path:
    """Nine entries of `fraud`, and some of another model among them."""
    folder = tmp_path_factory.mktemp("registry")
    registry = Registry(Store.open(folder.as_uri(), environ={}))
    for number in range(3):
        push(registry, b"%d" % number)
        push(registry, b"%d" % number, name="other")
    registry.promote("fraud", 1, actor="ann", why="first")
    registry.promote("fraud", 2, actor="bob", why="better")
    registry.canary("fraud", 3, weight=0.1, actor="ann", why="perhaps")
    registry.rollback("fraud", actor="ann", why="perhaps not")
    registry.reject("fraud", 3, actor="ann", why="no")
    return folder


@pytest.fixture
def registry(untouched: Path, tmp_path: Path) -> Registry:
    copytree(untouched, tmp_path, dirs_exist_ok=True)
    return Registry(Store.open(tmp_path.as_uri(), environ={}))


@pytest.fixture
def entries(registry: Registry) -> list[AuditEntry]:
    """Newest first."""
    return registry.audit("fraud")


def test_an_audit_that_nobody_touched_is_intact(registry: Registry, entries: list[AuditEntry]) -> None:
    assert len(entries) == 9
    assert registry.verify_audit("fraud") == []
    assert registry.verify_audit("other") == []


@pytest.mark.parametrize("number", range(9))
@pytest.mark.parametrize("field", ["actor", "why", "at", "version", "outcome"])
def test_a_changed_entry_is_found_wherever_it_is(
    registry: Registry, entries: list[AuditEntry], tmp_path: Path, number: int, field: str
) -> None:
    path = tmp_path / entries[number].key
    document = orjson.loads(path.read_bytes())
    document[field] = 17 if field == "version" else document[field] + "x"
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_SORT_KEYS))
    problems = registry.verify_audit("fraud")
    assert any(entries[number].key in problem and "was changed" in problem for problem in problems)
    assert registry.verify_audit("other") == []


def test_one_changed_byte_of_layout_is_found(registry: Registry, entries: list[AuditEntry], tmp_path: Path) -> None:
    path = tmp_path / entries[4].key
    path.write_bytes(path.read_bytes() + b" ")
    assert registry.verify_audit("fraud") == [
        f"{entries[4].key} was changed: its digest is not the one in {entries[3].key}"
    ]


@pytest.mark.parametrize("number", range(1, 9))
def test_a_deleted_entry_is_found_wherever_it_is(
    registry: Registry, entries: list[AuditEntry], tmp_path: Path, number: int
) -> None:
    (tmp_path / entries[number].key).unlink()
    problems = registry.verify_audit("fraud")
    assert problems[0] == f"{entries[number].key} is missing, {entries[number - 1].key} follows it"
    assert len(problems) == 1 + len(entries[number + 1 :])
    assert all("is not in the chain" in problem for problem in problems[1:])


def test_the_newest_entry_is_not_lost_while_the_release_holds_it(
    registry: Registry, entries: list[AuditEntry], tmp_path: Path
) -> None:
    (tmp_path / entries[0].key).unlink()
    assert registry.verify_audit("fraud") == []
    assert registry.audit("fraud") == entries


def test_an_inserted_entry_is_found(registry: Registry, entries: list[AuditEntry], tmp_path: Path) -> None:
    forged = replace(entries[2], id="01ARZ3NDEKTSV4RRFFQ69G5FAV", actor="mallory")
    path = tmp_path / forged.key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(forged.to_bytes())
    assert registry.verify_audit("fraud") == [
        f"{forged.key} is not in the chain: it was put there, or an entry after it was changed or deleted"
    ]
    assert registry.verify_audit("other") == []


def test_an_entry_that_was_worked_into_the_chain_is_found(
    registry: Registry, entries: list[AuditEntry], tmp_path: Path
) -> None:
    forged = replace(entries[2], id="01ARZ3NDEKTSV4RRFFQ69G5FAV", actor="mallory", previous=entries[2].link())
    following = replace(entries[1], previous=forged.link())
    for entry in (forged, following):
        (tmp_path / entry.key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / entry.key).write_bytes(entry.to_bytes())
    problems = registry.verify_audit("fraud")
    assert any(problem.startswith(f"{following.key} was changed") for problem in problems)


def test_entries_in_another_order_are_found(registry: Registry, entries: list[AuditEntry], tmp_path: Path) -> None:
    one, other = tmp_path / entries[3].key, tmp_path / entries[5].key
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    problems = registry.verify_audit("fraud")
    assert any(problem.startswith(f"{entries[3].key} was changed") for problem in problems)
    assert f"{entries[3].key} holds the entry {entries[5].id}" in problems


def test_a_release_that_was_moved_by_hand_is_found(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "models/fraud/release.json"
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | {"champion": 3}))
    assert "is not what its newest entry" in registry.verify_audit("fraud")[0]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"latest": 2}, ["version 3 was registered, and models/fraud/release.json does not count it"]),
        ({"gaps": [3]}, ["version 3 was registered, and models/fraud/release.json does not count it"]),
        ({"latest": 4}, ["models/fraud/release.json counts 4 versions, of which 3 were registered"]),
        ({"latest": 2**60}, [f"models/fraud/release.json counts {2**60} versions, of which 3 were registered"]),
    ],
)
def test_a_release_that_counts_other_versions_than_were_registered_is_found(
    registry: Registry, tmp_path: Path, part: dict[str, Any], said: list[str]
) -> None:
    path = tmp_path / "models/fraud/release.json"
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | part))
    assert registry.verify_audit("fraud") == said


def test_marks_that_bar_a_version_without_a_rejection_or_are_gone_are_found(
    registry: Registry, entries: list[AuditEntry], tmp_path: Path
) -> None:
    mark, forged = (tmp_path / f"models/fraud/versions/{version}/rejected.json" for version in (3, 2))
    rejected = mark.read_bytes()
    forged.write_bytes(rejected)
    mark.write_bytes(rejected + b" ")
    assert registry.verify_audit("fraud") == [
        "models/fraud/versions/2/rejected.json was put there: the audit tells of no such rejection",
        f"models/fraud/versions/3/rejected.json was changed: it is not what {entries[0].key} says",
    ]
    forged.unlink()
    mark.unlink()
    assert registry.verify_audit("fraud") == []  # the newest entry's own mark is written with the next order
    registry.shadow("fraud", 1, actor="ann", why="look")
    assert registry.verify_audit("fraud") == []
    mark.unlink()
    assert registry.verify_audit("fraud") == [
        f"models/fraud/versions/3/rejected.json is missing: {entries[0].key} rejected the version"
    ]


def test_a_chain_that_was_cut_to_begin_later_is_found(
    registry: Registry, entries: list[AuditEntry], tmp_path: Path
) -> None:
    """With every digest made right again, up to the release itself, the missing creation still shows."""
    kept = [replace(entries[3], previous=None)]
    for entry in reversed(entries[:3]):
        kept.append(replace(entry, previous=kept[-1].link()))
    for entry in entries:
        (tmp_path / entry.key).unlink()
    for entry in kept:
        (tmp_path / entry.key).write_bytes(entry.to_bytes())
    path = tmp_path / "models/fraud/release.json"
    release = orjson.loads(path.read_bytes()) | {"head": orjson.loads(kept[-1].to_bytes())}
    path.write_bytes(orjson.dumps(release))
    assert registry.verify_audit("fraud") == [
        f"{kept[0].key} has nothing before it, but is not the creation of the model"
    ]


def test_a_chain_that_goes_round_ends(registry: Registry, entries: list[AuditEntry], tmp_path: Path) -> None:
    (tmp_path / entries[8].key).write_bytes(replace(entries[8], previous=entries[4].link()).to_bytes())
    problems = registry.verify_audit("fraud")
    assert any(f"{entries[8].key} goes back to {entries[4].key}" in problem for problem in problems)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"\xff", b'{"previous": 3}'])
def test_what_is_no_entry_at_all_is_found(
    registry: Registry, entries: list[AuditEntry], tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "audit/2020").mkdir()
    (tmp_path / "audit/2020/note.json").write_bytes(data)
    assert registry.verify_audit("fraud") == ["audit/2020/note.json is no audit entry"]
    (tmp_path / entries[5].key).write_bytes(data)
    assert f"{entries[5].key} is no audit entry" in registry.verify_audit("fraud")


@pytest.mark.parametrize("part", [{"id": "x"}, {"id": 3}, {"model": []}, {"previous": {"key": 3, "sha256": "x"}}])
def test_an_entry_that_leads_nowhere_is_found(
    registry: Registry, entries: list[AuditEntry], tmp_path: Path, part: dict[str, Any]
) -> None:
    path = tmp_path / entries[5].key
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | part, option=orjson.OPT_SORT_KEYS))
    problems = registry.verify_audit("fraud")
    assert problems[0] == f"{entries[5].key} was changed: its digest is not the one in {entries[4].key}"
    assert f"{entries[5].key} is no audit entry" in problems


@pytest.mark.parametrize(
    ("path", "part", "said"),
    [
        ("head", {"id": "x"}, "is no release: ValueError: 'x' is no ULID"),
        (
            "head",
            {"previous": {"key": 3, "sha256": "x"}},
            "is no release: TypeError: 'id', 'model' and 'prev",
        ),
        ("head", {"colour": "red"}, "is no release: TypeError: "),
        ("gaps", None, "is no release: TypeError: "),
    ],
)
def test_a_release_that_leads_nowhere_is_found(
    registry: Registry, tmp_path: Path, path: str, part: dict[str, Any] | None, said: str
) -> None:
    release = orjson.loads((tmp_path / "models/fraud/release.json").read_bytes())
    release[path] = None if part is None else release[path] | part
    (tmp_path / "models/fraud/release.json").write_bytes(orjson.dumps(release))
    (problem,) = registry.verify_audit("fraud")
    assert problem.startswith(f"models/fraud/release.json {said}")


def test_what_is_listed_and_cannot_be_read_is_found(untouched: Path, watched: Callable[[Store], Any]) -> None:
    """As the marks are by which a console makes folders of S3."""
    store = Store.open(untouched.as_uri(), environ={})
    (first,) = Registry(store).audit("other")[-1:]
    marked = watched(store)

    def hide(method: str, path: str) -> None:
        if (method, path) == ("get", first.key):
            raise NotFound(path)

    marked.before = hide
    assert Registry(marked).verify_audit("fraud") == [f"{first.key} is no audit entry"]


def test_an_audit_can_be_verified_while_it_grows(store: Store, push: Push) -> None:
    registry = Registry(store)
    push(registry, b"0")
    push(registry, b"1")

    def work() -> None:
        for number in range(20):
            registry.promote("fraud", 1 + number % 2, actor="ann", why="w")

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        found = [registry.verify_audit("fraud") for _ in range(10)]
        working.result()
    assert found == [[]] * 10


def test_a_model_that_was_deleted_is_still_told_of(registry: Registry, tmp_path: Path) -> None:
    rmtree(tmp_path / "models/fraud")
    assert registry.verify_audit("fraud") == [
        "models/fraud/release.json is missing, and the audit holds 9 entries of the model"
    ]
    assert registry.audited() == ["fraud", "other"]


def test_a_model_that_is_not_there_has_no_audit(registry: Registry) -> None:
    with pytest.raises(ModelNotFound):
        registry.verify_audit("nothing")
