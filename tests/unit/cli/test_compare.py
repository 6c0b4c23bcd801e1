import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import arro3.io
import numpy as np
import pytest
from arro3.core import Array as Arrow
from arro3.core import DataType, Table

from cli.main import main
from tests.unit.lastmile.drift.test_model_monitor import AMOUNTS, COUNTRIES, statistics

type Told = Callable[..., dict[str, Any]]

RANDOM = np.random.default_rng(0)


def csv_of(path: Path, columns: dict[str, Any]) -> Path:
    lines = [",".join(columns)]
    lines += [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    def run(*arguments: object) -> dict[str, Any]:
        with pytest.raises(SystemExit) as ended:
            main(["drift", "compare", *map(str, arguments), "--json"])
        out, error = capsys.readouterr()
        assert ended.value.code == 0, error
        document: dict[str, Any] = json.loads(out)
        return document

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*arguments: object) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["drift", "compare", *map(str, arguments)])
        assert ended.value.code == 1
        return capsys.readouterr().err

    return run


def verdicts(document: dict[str, Any]) -> dict[str, str]:
    return {row["name"]: row["verdict"] for row in document["features"]}


def sample(rows: int, *, shift: float = 0.0, country: str = "DE FR IT") -> dict[str, Any]:
    return {
        "age": (RANDOM.normal(size=rows) + shift).round(4),
        "visits": RANDOM.poisson(3, rows),
        "country": RANDOM.choice(country.split(), rows),
    }


def test_two_files_are_compared_column_by_column(tmp_path: Path, told: Told) -> None:
    before = csv_of(tmp_path / "before.csv", sample(5000))
    after = csv_of(tmp_path / "after.csv", sample(5000, shift=0.5))
    document = told(before, after)
    assert verdicts(document) == {"age": "drifted", "visits": "stable", "country": "stable"}
    assert document["rows"] == {"reference": 5000, "current": 5000}
    wanted = {"name", "verdict", "statistic", "value", "p_value", "effect", "tolerance"}
    assert wanted <= document["features"][0].keys()


def test_the_tolerance_is_heeded(tmp_path: Path, told: Told) -> None:
    before = csv_of(tmp_path / "before.csv", sample(5000))
    after = csv_of(tmp_path / "after.csv", sample(5000, shift=0.5))
    assert verdicts(told(before, after, "--tolerance", "0.8"))["age"] == "stable"


def test_parquet_gives_what_csv_gives(tmp_path: Path, told: Told) -> None:
    columns = [sample(3000), sample(3000, country="DE FR IT XX")]
    files = [csv_of(tmp_path / f"{n}.csv", each) for n, each in enumerate(columns)]
    stored = [tmp_path / f"{n}.parquet" for n in range(2)]
    for path, each in zip(stored, columns, strict=True):
        arrays: dict[str, Any] = {
            "age": Arrow.from_numpy(each["age"]),
            "visits": Arrow.from_numpy(each["visits"]),
            "country": Arrow(each["country"].tolist(), DataType.utf8()),
        }
        arro3.io.write_parquet(Table.from_pydict(arrays), path)
    assert told(*stored)["features"] == told(*files)["features"]
    assert verdicts(told(*stored))["country"] == "drifted"


def test_people_get_a_table_with_the_urgent_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = csv_of(tmp_path / "before.csv", sample(2000) | {"old": np.zeros(2000)})
    after = csv_of(tmp_path / "after.csv", sample(2000, shift=1))
    with pytest.raises(SystemExit):
        main(["drift", "compare", str(before), str(after)])
    out, error = capsys.readouterr()
    assert out.splitlines()[1].split()[:2] == ["age", "drifted"]
    assert "drifted: 2,000 reference rows, 2,000 current ones" in out
    assert "only in reference: old" in error


ODD: dict[str, tuple[str, str, str]] = {
    "constant": ("1\n" * 600, "1\n" * 600, "stable"),
    "empty": ("\n", "\n", "not enough data"),
    "missing": (",\n" * 600, ",\n" * 600, "not enough data"),
    "missing now": ("1,\n2,\n" * 300, ",\n" * 600, "drifted"),
    "one row": ("1\n2\n" * 300, "1\n", "not enough data"),
    "no rows": ("1\n2\n" * 300, "", "not enough data"),
    "infinities": ("1\n2\n" * 300, "inf\n-inf\n" * 300, "drifted"),
    "numbers, then texts": ("1\n2\n" * 300, "a\nb\n" * 300, "drifted"),
    "texts, then numbers": ("a\nb\n" * 300, "1\n2\n" * 300, "drifted"),
    "both": ("1\na\n" * 600, "1\na\n" * 600, "stable"),
    "a few not numbers": ("1\n2\n" * 3000 + "NA\n", "1\n2\n" * 3000, "stable"),
    "nan": ("nan\n1\n" * 600, "nan\n1\n" * 600, "stable"),
    "quoted lines": ('"a,\nb"\nc\n' * 600, '"a,\nb"\nc\n' * 600, "stable"),
    "windows": ("1\r\n2\r\n" * 3000, "1\n2\n" * 3000, "stable"),
    "long numbers": ("1e400\n1\n" * 600, "1\n1e400\n" * 600, "stable"),
    "identifiers": (
        "".join(f"id-{n}\n" for n in range(3000)),
        "".join(f"id-{n}\n" for n in range(3000, 6000)),
        "stable",
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_columns_get_a_verdict(name: str, tmp_path: Path, told: Told) -> None:
    before, after, verdict = ODD[name]
    files = []
    for number, text in enumerate((before, after)):
        file = tmp_path / f"{number}.csv"
        file.write_text(("x,y\n" if "," in before.split("\n")[0] and '"' not in before else "x\n") + text, newline="")
        files.append(file)
    assert verdicts(told(*files))["x"] == verdict


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path, told: Told) -> None:
    for name in "ab":
        (tmp_path / name).write_text("\ufeffx\n" + "1\n2\n" * 3000)
    assert verdicts(told(tmp_path / "a", tmp_path / "b")) == {"x": "stable"}


@pytest.mark.parametrize(
    ("header", "row", "names"),
    [
        ("x;y", "1;2", ["x", "y"]),
        ("x\ty", "1\t2", ["x", "y"]),
        ('"x\nz",y', "1,2", ["x\nz", "y"]),
        ('"x;z",y', "1,2", ["x;z", "y"]),
        ("x;y,z", "1,2", ["x;y", "z"]),
    ],
)
def test_columns_are_told_apart_as_everywhere(
    header: str, row: str, names: list[str], tmp_path: Path, told: Told
) -> None:
    file = tmp_path / "file.csv"
    file.write_text(f"{header}\n" + f"{row}\n" * 30)
    document = told(file, file)
    assert sorted(verdicts(document)) == sorted(names)
    assert document["rows"] == {"reference": 30, "current": 30}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("x,x\n1,2\n", "has the column 'x' more than once"),
        ("x,y\n1,2\n3\n", "expected 2 got 1"),
        ("z\n1\n", "no column in common"),
        ("PAR1 is no header", "its end is missing"),
        ("PAR1" + "?" * 40 + "\x04\x00\x00\x00PAR1", "cannot be read"),
    ],
)
def test_files_that_cannot_be_compared_are_refused_in_a_sentence(
    text: str, said: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    good, bad = csv_of(tmp_path / "good.csv", {"x": [1, 2], "y": [1, 2]}), tmp_path / "bad.csv"
    bad.write_text(text)
    for pair in ((good, bad), (bad, good)):
        assert said in refused(*pair)
    assert "cannot be read: No such file" in refused(good, tmp_path / "nowhere.csv")
    assert "/dev/zero is no file that can be read more than once" in refused(good, Path("/dev/zero"))


def test_texts_that_are_no_utf8_are_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    good, bad = csv_of(tmp_path / "good.csv", {"x": [1, 2]}), tmp_path / "bad.csv"
    bad.write_bytes(b"x\n\xff\xfe\n")
    assert "cannot be read" in refused(good, bad)
    bad.write_bytes(b"\xff\n1\n")
    assert "cannot be read" in refused(good, bad)


def test_rows_beyond_the_first_ones_are_counted_too(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.compare.HEAD_ROWS", 100)
    monkeypatch.setattr("cli.columns.BATCH_ROWS", 64)
    before = csv_of(tmp_path / "before.csv", {"x": RANDOM.normal(size=3000), "id": np.arange(3000) + 0.5})
    after = csv_of(tmp_path / "after.csv", {"x": RANDOM.normal(size=3000), "id": np.arange(3000) + 0.5})
    document = told(before, after)
    assert document["rows"] == {"reference": 3000, "current": 3000}
    assert verdicts(document) == {"x": "stable", "id": "stable"}


def test_what_goes_together_is_looked_at_when_asked_for(tmp_path: Path, told: Told) -> None:
    one, noise = RANDOM.normal(size=(2, 8000))
    before = csv_of(tmp_path / "before.csv", {"one": one, "other": 0.8 * one + 0.6 * noise})
    after = csv_of(tmp_path / "after.csv", {"one": one, "other": -0.8 * one + 0.6 * noise})
    assert verdicts(told(before, after)) == {"one": "stable", "other": "stable"}
    together = told(before, after, "--joint")
    assert verdicts(together) == {"one": "stable", "other": "stable", "all features together": "drifted"}
    assert together["alpha"] == told(before, after)["alpha"]


def test_seasons_of_the_reference_are_no_drift(tmp_path: Path, told: Told, refused: Callable[..., str]) -> None:
    def season(days: range, plain: float = 0.0) -> dict[str, Any]:
        wave = np.repeat([np.sin(day * np.pi / 4) for day in days], 500)
        return {
            "wave": (wave + RANDOM.normal(size=len(wave))).round(4),
            "plain": (plain + RANDOM.normal(size=len(wave))).round(4),
            "kind": np.where(RANDOM.normal(size=len(wave)) + wave > 0, "a", "b"),
        }

    before = csv_of(tmp_path / "before.csv", season(range(16)))
    after = csv_of(tmp_path / "after.csv", season(range(18, 19)))
    assert verdicts(told(before, after)) == {"wave": "drifted", "plain": "not enough data", "kind": "drifted"}
    forgiving = told(before, after, "--seasons", "--joint")
    assert "drifted" not in verdicts(forgiving).values()
    changed = csv_of(tmp_path / "changed.csv", season(range(18, 19), plain=0.6))
    assert verdicts(told(before, changed, "--seasons"))["plain"] == "drifted"
    short = csv_of(tmp_path / "short.csv", season(range(3)))
    assert "too few for 4 windows of 500" in refused(short, after, "--seasons")
    few = csv_of(tmp_path / "few.csv", {name: column[:10] for name, column in season(range(1)).items()})
    assert [one["tolerance"] for one in told(before, few, "--seasons")["features"]] == [0.1] * 3, (
        "no windows of ten rows"
    )


def test_a_baseline_of_model_monitor_is_a_reference(tmp_path: Path, told: Told) -> None:
    known, constraints = tmp_path / "statistics.json", tmp_path / "constraints.json"
    known.write_text(json.dumps(statistics(AMOUNTS, COUNTRIES)))
    domain = {"name": "country", "string_constraints": {"domains": ["DE", "FR"]}}
    constraints.write_text(json.dumps({"version": 0.0, "features": [domain]}))
    rows = {
        "amount": RANDOM.lognormal(size=2000),
        "country": RANDOM.choice(["DE", "FR", "IT"], 2000),
        "new": [1] * 2000,
    }
    found = told(known, csv_of(tmp_path / "now.csv", rows), "--constraints", constraints)
    assert verdicts(found) == {"amount": "stable", "country": "drifted"}
    assert found["rows"] == {"reference": 4000, "current": 2000}
    assert (found["only_in_reference"], found["only_in_current"]) == ([], ["new"])
    assert [one["name"] for one in found["unseen"]] == ["country"]


def test_a_baseline_that_is_none_is_refused_in_a_sentence(tmp_path: Path, refused: Callable[..., str]) -> None:
    known, now = tmp_path / "statistics.json", csv_of(tmp_path / "now.csv", {"amount": [1.0]})
    for text, said in (
        ("{", "is no JSON"),
        ("[]", "is no JSON object"),
        ("[" * 100_000, "is nested too deeply"),
        ('{"version": 3}', "is no baseline of Model Monitor: statistics.json has version 3"),
        (json.dumps(statistics(AMOUNTS, COUNTRIES) | {"features": []}), "have no column in common"),
    ):
        known.write_text(text)
        assert said in " ".join(refused(known, now).split())
    assert "counts and no rows" in refused(known, now, "--joint")
    assert "belong to a baseline" in refused(now, now, "--constraints", known)
