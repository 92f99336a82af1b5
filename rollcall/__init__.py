"""The front door: the command line, the all-in-one, the demo."""

__version__ = "0.1.0"
