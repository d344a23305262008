"""What all tests share: how many random examples a property is tried with, and the umask."""

import os

from hypothesis import settings

# As the lab's programs have it, see lab/cli.py.
os.umask(0o022)

# A property that fails prints a blob that repeats it. No deadline: other work may slow us down.
settings.register_profile("fast", max_examples=200, deadline=None, print_blob=True)
settings.register_profile("full", max_examples=2_000, deadline=None, print_blob=True)
# The benchmark's (lab/benchmark/faults.py): more of all, sequences (tests/host/sequences.py), too.
settings.register_profile("counted", max_examples=10_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))
