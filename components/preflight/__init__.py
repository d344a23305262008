"""The look before anything is registered: what hosts and the state tell, and what follows from it.

`inspection.py` is the front door. It has each host probed (`lookup.py`, `host_facts.py`), has what
was seen judged beside what is wanted (`wanted.py`), a file for each kind of finding, has it told
(`telling.py`), and hands the rest of the program what it needs.
"""
