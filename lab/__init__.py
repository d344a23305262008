"""The internet on one machine: for the demo and for the end-to-end tests.

cli, tour       the programs up, down, run, reboot, prepare beside them, and demo
benchmark/      what a user waits for, what the VPS spends, and what else there is: bench
stack           the lab's stack
preparation     what takes minutes on a new machine: the engine and the image
lab             all hosts together, their beginning and end: `Lab`
hosts/          the network, and the hosts in it
images/         what hosts start from, made once
requirements    what a machine must have
cache           what takes long to make is made once
progress        long steps say that they live
checkout        this checkout, and project folders that share it
failure         the base of all the lab's own exceptions
environment     the Python environment, made by a program for shells
engine/         Pulumi's engine, found, downloaded or built by another
"""

import sys

# Before anything is imported that an old Python can't read; so this file is one that it can.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("lab: Python 3.11 or newer is needed; this is " + sys.version.split()[0])
