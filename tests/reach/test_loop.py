"""The event loop in which hosts are asked, and a name server that says nothing."""

import subprocess
import sys

from tests.settings.samples import SSH_KEY, host_key

_SILENT_NAME_SERVER = """\
import socket, sys, time
from reach import Login, ReachError, run_as_root, run_in_loop

def never_found(*_, **__):
    time.sleep(20)
    print("the name is given up", flush=True)
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

socket.getaddrinfo = never_found
ways = [Login(f"{name}.lan", 22, "root", sys.argv[1], sys.argv[2]) for name in ("homelab", "attic")]
try:
    run_in_loop(run_as_root(ways, "true", 1, connect=0.2))
except ReachError as error:
    print(str(error).replace("\\n", ""), flush=True)
"""


def test_a_name_server_that_says_nothing_is_not_waited_for() -> None:
    """Neither by who asks, nor at the program's end."""
    words = [sys.executable, "-c", _SILENT_NAME_SERVER, host_key(1), SSH_KEY]
    said = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert said.count("the host does not answer within") == 2
    assert "given up" not in said
