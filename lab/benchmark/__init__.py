"""The benchmark: this project and what a user would pick instead, measured in one run.

data_path      what carries a visitor's bytes, beside what other tools make of the same road
control_plane  what a user waits for and what the VPS spends on it
figures        what was measured, as it is kept: docs/benchmarks/figures.json
page, plots    what a person sees of it: docs/benchmarks/README.md and pictures
bench          the program lab/bench (make bench)

Absolute figures are the machine's that they were taken on; what is compared is compared within
one run.
"""
