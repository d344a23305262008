"""How hosts are reached: by one SSH connection, with their host key checked. Imports no Pulumi.

All that logs in without the command plugin comes in by here: of `components` the look-up, and what
waits for a server, brings the helper or removes what was left over; the command line of `operate`.
"""

from reach.connection import run_as_root
from reach.failure import ReachError, most_telling
from reach.helper import LIBRARY, PROTOCOL, claimant, helper_call, helper_folder, helper_path
from reach.login import Login, late_fields, logins_to
from reach.loop import run_beside, run_in_loop
from reach.root import NO_SUDO, SUDO_ASKS, root_shell

__all__ = [
    "LIBRARY",
    "NO_SUDO",
    "PROTOCOL",
    "SUDO_ASKS",
    "Login",
    "ReachError",
    "claimant",
    "helper_call",
    "helper_folder",
    "helper_path",
    "late_fields",
    "logins_to",
    "most_telling",
    "root_shell",
    "run_as_root",
    "run_beside",
    "run_in_loop",
]
