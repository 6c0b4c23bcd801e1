from pathlib import Path

import numpy as np
import pytest

from cli.columns import Table
from cli.compare import lay_out
from cli.windows import read

ROWS = 3000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    numbers, texts = random.normal(size=ROWS).round(3), random.choice(["a", "b", "c"], ROWS)
    lines = [f"{n},{number},{text}" for n, (number, text) in enumerate(zip(numbers, texts, strict=True))]
    (tmp_path / "rows.csv").write_text("\n".join(["n,number,text", *lines]) + "\n")
    return tmp_path / "rows.csv"


def test_windows_and_the_rest_are_the_whole(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.columns.BATCH_ROWS", 128)
    layout, skip = lay_out(Table(file), ("n", "number", "text"))
    plain, _ = read(Table(file), layout, skip=skip)
    windows, _ = read(Table(file), layout, skip=skip, window=700)
    assert windows.whole.to_document() == plain.whole.to_document()
    assert sorted(windows.kept) == [0, 1, 2, 3]
    assert {window.rows for window in windows.kept.values()} == {700}


def test_of_many_windows_some_spread_over_the_file_are_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.windows.MOST_WINDOWS", 8)
    layout, _ = lay_out(Table(file), ("number",))
    windows, _ = read(Table(file), layout, window=10)
    assert sorted(windows.kept) == list(range(0, 300, 64))
    assert windows.whole.rows == ROWS


def test_sampled_rows_are_of_the_whole_file_and_belong_together(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.columns.BATCH_ROWS", 128)
    monkeypatch.setattr("cli.windows.MOST_ROWS", 200)
    layout, _ = lay_out(Table(file), ("n", "text"))
    _, sample = read(Table(file), layout, sampled=True)
    rows = sample.rows()
    assert rows["n"].tolist() == list(range(0, ROWS, 16))
    texts = [line.split(",")[2] for line in file.read_text().splitlines()[1:]]
    assert rows["text"].tolist() == texts[::16]
    assert sample.rows(160, 200)["n"].tolist() == [160, 176, 192]
