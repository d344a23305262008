"""The benchmark: this project and what a user would pick instead, measured in one run.

bench             the program lab/bench (make bench)
data_path         what carries a visitor's bytes, beside what other tools make of the same road:
                  data_path_rounds and data_path_tables
contenders        who takes part in that; crates: those that are built
way               what one of them is: a script in ways/
road, visitor     the lab between a visitor and a home, and what the visitor does there
control_plane     what a user waits for and what the VPS spends on it: stack_run, spending
ansible, bare/    the same without this project: by Ansible, and commands that do nothing
before_and_after  the same with an older one
faults            what goes wrong, counted, in the lab and by counted_tests
forwards          as many as one likes, in the file of a lab's stack
sheet             a table while it is filled
figures           what was measured, as it is kept: docs/benchmarks/figures.json
machine           what it was measured on
page, plots       what a person sees of it: docs/benchmarks/README.md and pictures

Absolute figures are the machine's that they were taken on; what is compared is compared within
one run.
"""
