"""Benches: ratios against a baseline written out in the bench, or promises in seconds; `--json` prints JSON."""
