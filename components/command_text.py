"""The texts of the commands that are run on a host.

A text names the tunnel, the verb and the entry, nothing else, and never changes: a `delete` runs
from recorded state, years later, and so does an `update` that once mended drift. What a change is
about stands in `stdin`, which `pulumi preview --diff` shows as plain lines. The login user is not
in the text either.
"""

import shlex
from collections.abc import Sequence

from reach import LIBRARY, helper_call, helper_folder, helper_path

STATE = "/etc/reverse-tunnel"
"""Folder of what the tunnels are, one sub-folder per tunnel."""

# Root, or sudo that must not ask: nobody could answer.
_AS_ROOT = 'as=; [ "$(id -u)" = 0 ] || as="sudo -n"'
# The command plugin holds its connections open until the whole run ends, 1.8 MB each on the VPS.
# So the parent of the login shell, the connection's sshd, is ended from here, a moment after the
# exit status is on its way.
_HANG_UP = "(sleep 0.3; kill $PPID) </dev/null >/dev/null 2>&1 &"


class CommandTexts:
    """The command texts of one tunnel, each a line of sh for any login shell.

    Args:
        interface: the tunnel's name on every host.

    Attributes:
        folder: where the tunnel's helper lies, as a word of shell.
    """

    def __init__(self, interface: str) -> None:
        self._tunnel = interface
        self._interface = shlex.quote(interface)
        self.folder = helper_folder(interface)
        self._helper = helper_path(interface)

    def call(self, verb: str, *words: str) -> str:
        """Calls the helper, which must be there."""
        return _script(self._call(verb, *words))

    def call_if_there(self, verb: str, *words: str) -> str:
        """Calls the helper; where there is none, there is nothing left to do either."""
        # A sudo that refuses makes the test fail, and then the call, whose message is seen.
        return _script(f"$as test ! -e {self._helper} || {self._call(verb, *words)}")

    def may_claim(self, owner: str) -> str:
        """Changes nothing; fails where the tunnel's name belongs to another stack."""
        path = f"{STATE}/{self._interface}/owner"
        refusal = (
            f"reverse-tunnel: the tunnel {self._interface} on this host belongs to another stack"
            f" (see {path}); give this one another name: network.interface"
        )
        return _script(
            f"$as true && {{ $as test ! -e {path} || $as grep -qxF {shlex.quote(owner)} {path}"
            f" || {{ echo {shlex.quote(refusal)} >&2; false; }}; }}"
        )

    def release(self, owner: str, tenant: Sequence[str]) -> str:
        """Removes everything of this tunnel from the host, also what a broken-off install left.

        What belongs to another stack or to another tenant by now is left alone.
        """
        return _script(
            f"if $as test -e {self._helper}; then {self._call('uninstall', owner, *tenant)};"
            f" else $as rm -rf {self.folder}"
            f" && {{ $as rmdir {LIBRARY} 2>/dev/null || true; }}; fi"
        )

    def install(self) -> str:
        """Puts the helper into place: what comes on stdin is run, and says for whom.

        That clears away what it has begun itself; where not even it can be written, as on a full
        disk, this text does.
        """
        incoming = f"{self.folder}/incoming"
        failure = (
            f"reverse-tunnel: the helper could not be written to {self.folder}: make room there,"
            " and run again; nothing was changed"
        )
        line = (
            f"umask 077; mkdir -p {self.folder} && cat >{incoming}"
            f" && exec bash {incoming};"
            f" rm -f {incoming}; rmdir {self.folder} {LIBRARY} 2>/dev/null;"
            f" echo {shlex.quote(failure)} >&2; exit 1"
        )
        return _script(f"$as sh -c {shlex.quote(line)}")

    def _call(self, verb: str, *words: str) -> str:
        return f"$as {helper_call(self._tunnel, verb, *words)}"


def _script(line: str) -> str:
    # sh is exec'ed, so that its parent is the connection's sshd. The status is the line's. What it
    # left of stdin is read: else the plugin calls a command failed, now and then, that succeeded.
    whole = f"{_AS_ROOT}; {line}; s=$?; cat >/dev/null; {_HANG_UP} exit $s"
    return f"exec sh -c {shlex.quote(whole)}"
