"""Studies: rows of commands that differ by a few flags, run over seeds and gathered into one table."""

from .plan import Row, Step, Study, read_study
from .table import gather, markdown, result_of, table_rows, write_csv

__all__ = ["Row", "Step", "Study", "gather", "markdown", "read_study", "result_of", "table_rows", "write_csv"]
