"""The version of the tool, which runs are recorded with."""

__version__ = "0.1.0"
