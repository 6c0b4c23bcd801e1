import sys
from datetime import UTC, datetime

import pytest

from cli.output import (
    Figure,
    age,
    note,
    percent,
    print_fields,
    print_json,
    print_table,
    print_text,
    readable,
    size,
    when,
)

NOW = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (175_079, "175 kB"),
        (999_600, "1.0 MB"),
        (262_144_000, "262 MB"),
        (12_300_000_000, "12.3 GB"),
    ],
)
def test_sizes_are_decimal(count: int, shown: str) -> None:
    assert size(count) == shown


@pytest.mark.parametrize(("share", "shown"), [(0.05, "5 %"), (1, "100 %"), (0.125, "12.5 %"), (0, "0 %")])
def test_shares_are_percents(share: float, shown: str) -> None:
    assert percent(share) == shown


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        ("2026-03-04T12:00:00.000Z", "just now"),
        ("2026-03-04T12:00:09Z", "just now"),  # another machine's clock is ahead
        ("2026-03-04T11:59:01Z", "59 s ago"),
        ("2026-03-04T11:01:00+00:00", "59 min ago"),
        ("2026-03-03T13:00:00+01:00", "24 h ago"),
        ("2026-03-01T12:00:00Z", "3 d ago"),
    ],
)
def test_ages_are_in_their_largest_unit(at: str, shown: str) -> None:
    assert age(at, NOW) == shown.replace("24 h", "1 d")


def test_a_time_is_absolute_in_utc_and_relative() -> None:
    assert when("2026-03-04T12:30:05+01:00", NOW) == "2026-03-04 11:30:05 (29 min ago)"


def test_numbers_are_right_aligned_words_left_and_none_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name", "n", "size"], [["a", 1, Figure("9 kB")], ["bcdef", None, None], [None, 1000, Figure("10 kB")]])
    assert capsys.readouterr().out == (
        "name      n   size\n"  #
        "a         1   9 kB\n"
        "bcdef     -      -\n"
        "-      1000  10 kB\n"
    )


def test_a_pipe_gets_one_line_per_row_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["why"], [["word " * 500 + "end"]])
    assert capsys.readouterr().out.splitlines()[1].endswith("word end")


def test_a_narrow_terminal_folds_words_and_breaks_no_number(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    print_table(["at", "why"], [[when("2026-03-04T12:00:00Z", NOW), "one two three four five six seven eight nine"]])
    lines = [line.replace("\x1b[1m", "").replace("\x1b[0m", "") for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == "2026-03-04 12:00:00 (just now)  one two three four five six"
    assert lines[2].strip() == "seven eight nine"


@pytest.mark.parametrize(("no_color", "coloured"), [(None, True), ("1", False)])
def test_colours_are_for_terminals_and_no_color_is_honoured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, no_color: str | None, coloured: bool
) -> None:
    from rich.text import Text

    from cli.output import console

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)
    console().print(Text("red", style="red"))
    assert ("\x1b[31m" in capsys.readouterr().out) is coloured


def test_brackets_and_colons_in_what_users_wrote_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["why"], [["[red]fire[/red] [/] at 12:100:00"]])
    print_fields([("why", "[bold]loud :key:")])
    note("[link=x] :key:")
    printed = capsys.readouterr()
    assert "[red]fire[/red] [/] at 12:100:00" in printed.out
    assert "why  [bold]loud :key:" in printed.out
    assert printed.err == "[link=x] :key:\n"


@pytest.mark.parametrize(
    ("written", "line"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\x9b31m\x07\x00", r"a\x9b31m\x07\x00"),
        ("one\r\ntwo\u2028three\x85", "one  two three "),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("caf\udcff", r"caf\udcff"),
        ("👩\u200d🔬 日本 é", "👩\u200d🔬 日本 é"),
    ],
)
def test_nothing_that_others_wrote_gives_orders_to_a_terminal(
    capsys: pytest.CaptureFixture[str], written: str, line: str
) -> None:
    print_table([written], [[written]])
    print_fields([(written, written)])
    out, err = capsys.readouterr()
    assert out.count(line.strip()) == 4
    print_text(written)
    note(written)
    out, err = capsys.readouterr()
    assert out == err == readable(written) + "\n"
    assert out.split() == line.split()


def test_several_lines_stay_several_lines() -> None:
    assert readable("a\n\tb\x1bc\r\nd") == "a\n\tb\\x1bc \nd"


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"ü": [1, None]})
    assert capsys.readouterr().out == '{\n  "\\u00fc": [\n    1,\n    null\n  ]\n}\n'
