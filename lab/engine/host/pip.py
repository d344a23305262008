"""Answers `pip list` for the Python host, which asks at every run what the environment has.

It stands in for pip in the host's own processes only: environments made by uv have no pip, and pip
takes more than half a second for the answer.
"""

import json
import sys
from importlib.metadata import distributions

if sys.argv[1:2] != ["list"]:
    sys.exit("this pip only lists what is installed (see lab/engine/host/pip.py)")

print(
    json.dumps(
        [
            {
                "name": package.name,
                "version": package.version,
                "location": str(package.locate_file("")),
            }
            for package in distributions()
        ]
    )
)
