"""Experiments over many runs: studies (rows of commands over seeds) and sweeps (one backbone under many protocols)."""

from .effects import Effect, Scored, choose, effects, read_scores
from .grid import Batch, Grid, batches, read_grid, read_list
from .study_plan import Row, Step, Study, read_study
from .study_table import gather, result_of, table_rows, write_csv

__all__ = [
    "Batch",
    "Effect",
    "Grid",
    "Row",
    "Scored",
    "Step",
    "Study",
    "batches",
    "choose",
    "effects",
    "gather",
    "read_grid",
    "read_list",
    "read_scores",
    "read_study",
    "result_of",
    "table_rows",
    "write_csv",
]
