import re

import pytest

from cli.progress import Progress, Silence


def test_without_a_terminal_a_step_is_two_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress().step("Deploying") as tell:
        tell("CREATE_IN_PROGRESS")
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"Deploying …\n✓ Deploying \(\d+\.\d s\)\n", err)


def test_a_failed_step_is_not_ticked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no"), Progress().step("Deploying"):
        raise ValueError("no")
    assert capsys.readouterr().err == "Deploying …\n"


def test_on_a_terminal_the_line_moves(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with Progress().step("Deploying [final]\x1b]0;x") as tell:
        tell("CREATE_IN_PROGRESS [/]")
    err = capsys.readouterr().err
    assert r"✓ Deploying [final]\x1b]0;x" in err
    assert err.count("[final]") > 1  # on the moving line too
    assert "\x1b]0;x" not in err
    assert "Deploying …" not in err


def test_silence_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Silence().step("Deploying") as tell:
        tell("CREATE_IN_PROGRESS")
    assert capsys.readouterr() == ("", "")
