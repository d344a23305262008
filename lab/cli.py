"""The lab's commands, for the programs beside this file: up, down, run, reboot, prepare.

demo and bench have theirs in tour.py and benchmark/bench.py.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from lab import preparation
from lab.failure import LabError
from lab.hosts.operator_host import Operator
from lab.lab import DEFAULT_NAME, Lab, end_dead_labs, purge
from lab.progress import say
from lab.requirements import require_machine, require_plain
from lab.stack import ensure_stack, remove_stack_file

NO_HOST = 125  # the status of lab/run when it was the lab that failed, not the command
_WRONG_USAGE = 2
_INTERRUPTED = 130  # as shells say it


def main(
    command: Callable[[Lab, Sequence[str]], int], failed: int = 1, alone: str = ""
) -> NoReturn:
    """Run `command` with this program's arguments on the lab that the environment names; exit.

    Args:
        command: one of the functions below.
        failed: the exit status when the lab fails.
        alone: what the program is called, if it takes no arguments; with any, it does nothing.
    """
    # The hosts' file systems lie in what this makes, and every user of a host must be able to read
    # them; what is secret gets a mode of its own.
    os.umask(0o022)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    name = os.environ.get("REVERSE_TUNNEL_LAB") or DEFAULT_NAME
    try:
        require_plain(name)
        words = sys.argv[1:]
        status = _usage(alone) if alone and words else command(Lab(name), words)
    except LabError as error:
        say(str(error))
        status = failed
    except (OSError, subprocess.SubprocessError) as error:  # a full disk, a cache of root's
        say(f"{error}")
        status = failed
    except KeyboardInterrupt:
        status = _INTERRUPTED
    sys.exit(status)


def up(lab: Lab, _words: Sequence[str]) -> int:
    """Start the lab, if it is not up."""
    lab.up()
    say("up; try: lab/run --on client ping -c1 203.0.113.10")
    return 0


def prepare(_lab: Lab, _words: Sequence[str]) -> int:
    """Fill the cache, so that nothing else takes long."""
    require_machine()
    preparation.prepare(tests=True)
    return 0


def down(lab: Lab, _words: Sequence[str]) -> int:
    """End the lab; with PURGE=1 in the environment remove the cache, too."""
    if lab.state.exists():
        require_machine()
    remove_stack_file(lab)
    lab.down()
    if os.environ.get("PURGE") == "1":
        purge()
    elif os.geteuid() == 0:
        end_dead_labs()
    return 0


def reboot(lab: Lab, words: Sequence[str]) -> int:
    """Reboot a host."""
    if len(words) != 1:
        return _usage("lab/reboot HOST")
    _require_up(lab)
    lab.host(words[0]).reboot()
    return 0


def run(lab: Lab, words: Sequence[str]) -> int:
    """Become a command on a host; see lab/run."""
    name = "operator"
    if words[:1] == ["--on"] and words[1:]:
        name, words = words[1], words[2:]
    if not words or words[0].startswith("-"):
        return _usage("lab/run [--on HOST] COMMAND...")
    _require_up(lab)
    host = lab.host(name)
    if isinstance(host, Operator):
        ensure_stack(lab)
        # Whoever is somewhere in the project stays there.
        if not Path.cwd().is_relative_to(host.project):
            os.chdir(host.project)
    command = ["bash", "-c", words[0]] if len(words) == 1 else [*words]
    return _become([*host.prefix(), *command], host.environment())


def _become(line: list[str], environment: dict[str, str]) -> NoReturn:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and so would the command
    os.execvpe(line[0], line, environment)  # noqa: S606  # a shell would change the words


def _require_up(lab: Lab) -> None:
    require_machine()
    if not lab.is_up:
        raise LabError("the lab is not up; start it with lab/up, or with make demo")
    lab.require_ours()


def _usage(text: str) -> int:
    print(f"usage: {text}", file=sys.stderr)
    return _WRONG_USAGE
