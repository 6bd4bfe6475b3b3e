"""The page that shows what a benchmark run found, readable in a browser without a network."""

from .material import Chart, write_material
from .page import write_report

__all__ = ["Chart", "write_material", "write_report"]
