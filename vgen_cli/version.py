"""The version of vgen, in one place."""

__version__ = "0.1.0"
