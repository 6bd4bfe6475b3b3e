"""The page of a benchmark result, readable in a browser without a network."""

from .page import Chart, write_report

__all__ = ["Chart", "write_report"]
