"""The centre: who is who, what was seen, and everybody who is told."""
