"""The internet on one machine: for the demo and for the end-to-end tests.

topology        which hosts there are, and how they are joined
image, cache    the Debian tree that all hosts start from, made once
apt             what all of Debian's is downloaded by
wireguard_go    a current one for hosts whose kernel has none
systems         what a host can start from instead: other releases, a VPS with neighbours
identity        what makes a copy of it one particular host
requirements    what a machine must have
sandbox         the namespaces that everything of a lab lives and dies in
switch, host    the network and the hosts
operator_host   the host that sees this machine's files and runs Pulumi
lab             all of it together: `Lab`
stack, tour     the lab's stack and the demo
benchmark/      what a user waits for, what the VPS spends, and what else there is
cli             the programs up, down, run, reboot, prepare, demo, bench
"""

import sys

# Before anything is imported that an old Python can't read; so this file is one that it can.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("lab: Python 3.11 or newer is needed; this is " + sys.version.split()[0])
