"""Entries: what a host is given, what it tells of it, and where the two differ.

And by what name the state has it. Nobody is reached from here.
"""
