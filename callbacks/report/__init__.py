"""The page that shows what a benchmark run found, readable in a browser without a network."""

from .page import Chart, write_report

__all__ = ["Chart", "write_report"]
