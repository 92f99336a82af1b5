"""Slow or heavy work as dramatiq actors. The SQL row is the truth, the message only a nudge."""
