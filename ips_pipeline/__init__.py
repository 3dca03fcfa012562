"""Individual Placement and Support reporting: from a trust's rows to a published number."""

__version__ = "0.1.0"
