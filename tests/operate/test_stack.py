"""Where the commands get their data, and what they say when they can't."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from operate.failure import CommandError
from operate.main import main
from operate.stack import Stack
from tests.operate.project import Project, run
from tests.settings.samples import PEM_KEY

FORWARDS = "  reverse-tunnel:forwards:\n"


def test_settings_come_decrypted_from_the_engine(project: Project) -> None:
    key = Stack("home").settings().ssh_private_key
    assert isinstance(key, SecretStr)
    assert key.get_secret_value() == PEM_KEY
    assert project.calls == ["config --show-secrets --json --stack home --non-interactive"]


def test_settings_without_key_take_neither_engine_nor_passphrase(project: Project) -> None:
    settings = Stack("home").settings_without_key()
    assert settings.ssh_private_key is None
    assert [*settings.forwards] == ["http", "https", "game"]
    assert project.calls == []


def test_settings_without_key_of_the_selected_stack_ask_for_its_name_alone(
    project: Project,
) -> None:
    assert Stack(None).settings_without_key().forwards
    assert project.calls == ["stack --show-name --non-interactive"]


def test_on_pulumi_cloud_a_stack_may_be_named_in_full(project: Project) -> None:
    stack = Stack("someone/reverse-tunnel/home")
    assert stack.settings_without_key().forwards
    assert stack.owner() == "reverse-tunnel/home"
    assert project.calls == []


def test_it_says_by_which_name_hosts_know_it(project: Project) -> None:
    """By the project's, whatever that is, and the stack's."""
    assert Stack(None).owner() == "reverse-tunnel/home"
    (project.folder / "Pulumi.yaml").rename(project.folder / "Pulumi.yml")
    (project.folder / "Pulumi.yml").write_text("name: house\n")
    assert Stack("away").owner() == "house/away"
    assert project.calls == ["stack --show-name --non-interactive"]


def test_settings_without_key_with_another_encrypted_value_are_decrypted(project: Project) -> None:
    file = project.folder / "stacks/Pulumi.home.yaml"
    file.write_text(file.read_text().replace("host: 203.0.113.10", "host: {secure: v1:x}"))
    assert Stack("home").settings_without_key().vps.ssh.host == ("203.0.113.10",)
    assert project.calls == ["config --show-secrets --json --stack home --non-interactive"]


@pytest.mark.parametrize(
    ("file", "also"),
    [
        ("stacks/Pulumi.home.yaml", "environment: [home]"),
        ("Pulumi.yaml", "config: {forwards: {}}"),
    ],
)
def test_settings_that_are_not_in_the_file_alone_come_from_the_engine(
    project: Project, file: str, also: str
) -> None:
    """It knows what Pulumi ESC has in that environment, and which value goes before which."""
    path = project.folder / file
    path.write_text(f"{path.read_text()}{also}\n")
    assert Stack("home").settings_without_key().forwards
    assert project.calls == ["config --show-secrets --json --stack home --non-interactive"]


def add_forward(project: Project, written: str) -> None:
    """Let the stack file have this among the forwards."""
    file = project.folder / "stacks/Pulumi.home.yaml"
    file.write_text(file.read_text().replace(FORWARDS, f"{FORWARDS}    {written}\n"))


def write_keys_as(project: Project, written: str) -> None:
    """Let the stack file have this before each key of the project."""
    file = project.folder / "stacks/Pulumi.home.yaml"
    file.write_text(file.read_text().replace("reverse-tunnel:", written))


def test_keys_are_the_projects_whatever_its_name(project: Project) -> None:
    """As the program reads them."""
    (project.folder / "Pulumi.yaml").write_text("name: house\nstackConfigDir: stacks\n")
    for read in (Stack("home").settings_without_key, Stack("home").settings):
        with pytest.raises(CommandError, match=r"vps: is missing"):
            read()
    write_keys_as(project, "house:")
    config = project.folder / "bin/config.json"
    config.write_text(config.read_text().replace("reverse-tunnel:", "house:"))
    for read in (Stack("home").settings_without_key, Stack("home").settings):
        assert [*read().forwards] == ["http", "https", "game"]


def test_a_key_without_a_namespace_is_the_projects(project: Project) -> None:
    """As the engine reads it."""
    write_keys_as(project, "")
    settings = Stack("home").settings_without_key()
    assert settings.ssh_private_key is None
    assert [*settings.forwards] == ["http", "https", "game"]
    assert project.calls == []


@pytest.mark.parametrize(
    "text", ["no", "on", "12:30", "2026-12-01", "1e3x", "1:2:3.5", "0x_", "0b_", "0o_"]
)
def test_texts_are_read_as_by_the_engine(project: Project, text: str) -> None:
    """In YAML of 2005 some of these were truths, times and numbers."""
    add_forward(project, f"noted: {{port: 81, to: homelab, comment: {text}}}")
    assert Stack("home").settings_without_key().forwards["noted"].comment == text


def test_values_are_read_as_by_the_engine(project: Project) -> None:
    add_forward(project, "no: {port: 0x51, to: homelab, enabled: false}")
    read = Stack("home").settings_without_key().forwards["no"]
    assert (read.port.first, read.enabled) == (0x51, False)


@pytest.mark.parametrize(
    ("written", "port"),
    [("1e3", 1000), ("1.0", 1), ("08", 8), ("0_9", 9), ("1_0.0", 10), (".5e1", 5), ("017", 15)],
)
def test_a_number_without_a_fraction_is_whole_however_it_is_written(
    project: Project, written: str, port: int
) -> None:
    add_forward(project, f"noted: {{port: {written}, to: homelab}}")
    assert Stack("home").settings_without_key().forwards["noted"].port.first == port


@pytest.mark.parametrize("written", ["1.5", "08.5", "1e5", "1e400", ".5_0e1", "1e3x", "true"])
def test_what_is_no_port_for_the_engine_is_none(project: Project, written: str) -> None:
    add_forward(project, f"noted: {{port: {written}, to: homelab}}")
    with pytest.raises(CommandError, match=r"forwards\.noted\.port: "):
        Stack("home").settings_without_key()


@pytest.mark.parametrize(("written", "name"), [("true", "true"), ("False", "false")])
def test_a_truth_as_a_name_is_a_text(project: Project, written: str, name: str) -> None:
    add_forward(project, f"{written}: {{port: 81, to: homelab}}")
    assert name in Stack("home").settings_without_key().forwards


@pytest.mark.parametrize("written", ["~", "1.5", "1e3", "08"])
def test_other_keys_that_are_no_texts_are_no_names(project: Project, written: str) -> None:
    """Nor are the texts that the engine makes of them, `<nil>`, 1.5, 1000 and 8."""
    add_forward(project, f"{written}: {{port: 81, to: homelab}}")
    with pytest.raises(CommandError, match=r"forwards\..* is not a name"):
        Stack("home").settings_without_key()


def test_it_works_in_a_folder_below(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.folder / "stacks")
    assert Stack("home").settings_without_key().forwards


def test_wrong_settings_are_said_as_everywhere(project: Project) -> None:
    project.configure({"forwards.http.port": 0})
    for read in (Stack("home").settings_without_key, Stack("home").settings):
        with pytest.raises(CommandError, match=r"forwards\.http\.port: 0 is not allowed"):
            read()


def test_a_misspelt_namespace_is_said_and_a_providers_left_alone(project: Project) -> None:
    file = project.folder / "stacks/Pulumi.home.yaml"
    clients = "reverse-tunnel:clients:"
    file.write_text(file.read_text().replace(clients, "hcloud:token: {secure: v1:x}\n  " + clients))
    assert Stack("home").settings_without_key().clients
    assert project.calls == []
    file.write_text(file.read_text().replace(clients, "reverse-tunel:clients:"))
    project.say("config.json", {"reverse-tunel:clients": {"value": "{}", "secret": False}})
    for read in (Stack("home").settings_without_key, Stack("home").settings):
        with pytest.raises(CommandError, match=r"perhaps reverse-tunnel:clients"):
            read()


def test_an_unknown_stack_is_said(project: Project) -> None:
    del project
    with pytest.raises(CommandError, match=r"no .*Pulumi\.away\.yaml.*pulumi stack ls"):
        Stack("away").settings_without_key()


SELF = "config: {reverse-tunnel:forwards: &x {http: *x}}"


@pytest.mark.parametrize(
    "text", ["config: [", "\tx", "- a list", "config: text", SELF, "[" * 5000, f"a: {'9' * 5000}"]
)
def test_a_file_that_is_no_stacks_is_said_without_a_traceback(project: Project, text: str) -> None:
    (project.folder / "stacks/Pulumi.home.yaml").write_text(text)
    with pytest.raises(CommandError):
        Stack("home").settings_without_key()


def test_what_contains_itself_is_said_where(project: Project) -> None:
    (project.folder / "stacks/Pulumi.home.yaml").write_text(f"# a line\n{SELF}\n")
    with pytest.raises(CommandError, match=r"Pulumi\.home\.yaml can't be read: .*\n.*line 2"):
        Stack("home").settings_without_key()


def test_what_is_used_twice_is_read_twice(project: Project) -> None:
    add_forward(project, "a: &x {port: 81, to: homelab}\n    b: {<<: *x, port: 82}")
    read = Stack("home").settings_without_key().forwards
    assert (read["a"].port.first, read["b"].port.first) == (81, 82)
    assert read["a"].to == read["b"].to


AGAIN = "  reverse-tunnel:clients:\n    tablet: {address: 172.16.0.12}\n"
DEEP = f"{FORWARDS}    a: {{port: 81, to: homelab, port: 82}}\n"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (FORWARDS, AGAIN + FORWARDS, r"line \d+: reverse-tunnel:clients is there already, line "),
        (FORWARDS, DEEP, r"line (\d+): port is there already, line \1: keep one"),
        ("config:", "config: {}\nconfig:", "line 2: config is there already, line 1: "),
    ],
    ids=["a section", "a field", "all of it"],
)
def test_a_key_that_is_there_twice_is_refused_as_the_engine_does(
    project: Project, old: str, new: str, says: str
) -> None:
    """As after a merge; else the picture would be of the last one alone."""
    file = project.folder / "stacks/Pulumi.home.yaml"
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(CommandError, match=rf"Pulumi\.home\.yaml can't be read: {says}"):
        Stack("home").settings_without_key()


def test_a_key_may_be_in_two_entries_and_of_two_values_one_is_ones_own(project: Project) -> None:
    """What `<<` brings is not there twice, also where it is brought on."""
    nested = "{<<: &y {<<: &x {port: 81, to: homelab}, port: 82}, port: 83}"
    add_forward(project, f"a: {nested}\n    b: *y\n    c: *x")
    read = Stack("home").settings_without_key().forwards
    assert [read[name].port.first for name in "abc"] == [83, 82, 81]


@pytest.mark.parametrize(
    "text",
    ["", "# nothing", "- a list", "name", "name: [", "\tx", "a: &x [*x]", "a: b", "name: [a]"],
)
def test_a_file_that_is_no_projects_is_said_without_a_traceback(
    project: Project, text: str
) -> None:
    (project.folder / "Pulumi.yaml").write_text(text)
    with pytest.raises(CommandError, match=r"/Pulumi\.yaml can't be read: "):
        Stack("home").settings_without_key()


def test_a_project_may_keep_its_stacks_beside_it(project: Project) -> None:
    (project.folder / "Pulumi.yaml").write_text("name: reverse-tunnel\n")
    (project.folder / "stacks/Pulumi.home.yaml").rename("Pulumi.home.yaml")
    assert Stack("home").settings_without_key().forwards


def test_a_stack_file_ends_as_the_projects_does(project: Project) -> None:
    """So the engine looks for it."""
    (project.folder / "Pulumi.yaml").rename("Pulumi.yml")
    with pytest.raises(CommandError, match=r"there is no .*/stacks/Pulumi\.home\.yml\. "):
        Stack("home").settings_without_key()
    (project.folder / "stacks/Pulumi.home.yaml").rename("stacks/Pulumi.home.yml")
    assert Stack("home").settings_without_key().forwards


def test_the_engine_speaks_utf_8_whatever_the_locale(project: Project) -> None:
    project.configure({"forwards.http.comment": "for guests"})
    file = project.folder / "bin/config.json"
    file.write_bytes(file.read_bytes().replace(b"for guests", "f\u00fcr G\u00e4ste".encode()))
    program = """
from operate.stack import Stack
print(ascii(Stack("home").settings().forwards["http"].comment))
"""
    ascii_alone = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **ascii_alone},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "'f\\xfcr G\\xe4ste'\n"


def test_what_the_engine_refuses_is_passed_on(project: Project) -> None:
    (project.folder / "bin/config.json").unlink()
    with pytest.raises(CommandError, match="incorrect passphrase"):
        Stack("home").settings()


def test_without_an_engine_it_says_where_to_get_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    del project
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CommandError, match="lab/engine/ensure"):
        Stack("home").settings()


def test_outside_of_a_project_it_says_where_to_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CommandError, match="run this in the project's folder"):
        Stack("home").settings_without_key()


def test_the_stack_may_be_named_by_the_environment(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_STACK", "away")
    run("client", "laptop")
    assert project.calls == ["stack output --show-secrets --json --stack away --non-interactive"]


@pytest.mark.parametrize("words", [("client", "laptop"), ("client", "a"), ("server", "cabin")])
def test_outputs_that_an_up_of_some_targets_left_unknown_are_said(
    project: Project, words: tuple[str, ...]
) -> None:
    """The state has a text in their place."""
    unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    project.say("outputs.json", {"clientConfigs": unknown, "serverConfigs": unknown})
    done = run(*words)
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"the stack's output {words[0]}Configs is not known" in done.stderr
    assert "run `pulumi up`" in done.stderr


@pytest.mark.parametrize("command", [None, *main.commands])
def test_every_command_says_what_it_is_for(command: str | None) -> None:
    words = [] if command is None else [command]
    done = run(*words, "--help")
    assert done.exit_code == 0
    assert "Usage: " in done.stdout
    assert "\\" not in done.stdout


def test_the_list_of_commands_cuts_nothing_off() -> None:
    listed = run("--help").stdout.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == sorted(main.commands)
    assert [line for line in listed if not line.endswith(".") or line.endswith("...")] == []
    assert max(map(len, listed)) < 80


@pytest.mark.parametrize(
    ("ask", "what"),
    [
        (Stack("home").settings, "the configuration of home"),
        (lambda: Stack("home").output("clientConfigs"), "the outputs of home"),
        (Stack("home").set_up, "the state of home"),
        (Stack(None).settings, "the configuration of the selected stack"),
        (Stack(None).settings_without_key, "the name of the selected stack"),
    ],
)
def test_who_waits_for_the_engine_sees_for_what(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ask: Callable[[], object],
    what: str,
) -> None:
    project.say("outputs.json", {"clientConfigs": {}})
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    ask()
    assert f"asking pulumi for {what} ..." in capsys.readouterr().err


def test_an_unknown_command_is_wrong_usage() -> None:
    assert run("statis").exit_code == 2
