"""What a machine can carry, and what is wrong with it: `rollcall doctor`.

A check is a function that takes no argument and returns findings; `edge.checks` lists those of an edge. Another role
has a file of its own with such a list, and its place in `run.ROLES`.
"""
