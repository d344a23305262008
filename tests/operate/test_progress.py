"""What is being waited for is said on a terminal, and nowhere where a program would read it."""

import pytest

from operate.progress import silence, waiting


@pytest.mark.parametrize(("terminal", "shown"), [("1", True), ("0", False)])
def test_it_is_shown_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    terminal: str,
    shown: bool,
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with waiting("asking pulumi"):
        pass
    printed = capsys.readouterr()
    assert printed.out == ""
    assert ("asking pulumi ..." in printed.err) == shown
    assert bool(printed.err) == shown


def test_it_is_not_shown_where_something_else_has_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    with silence(), waiting("asking pulumi"):
        pass
    assert capsys.readouterr().err == ""
    with waiting("asking pulumi"):
        pass
    assert "asking pulumi ..." in capsys.readouterr().err
