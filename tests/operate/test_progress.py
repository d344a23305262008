"""What is being waited for is said on a terminal, and nowhere where a program would read it."""

import pytest

from operate.progress import waiting


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
