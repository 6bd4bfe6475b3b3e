"""The notebook: what is stored of it came from running it whole, and it runs."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
TOUR = Path(__file__).resolve().parents[1] / "docs" / "tour.ipynb"


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_is_stored_as_it_ran():
    cells = code_cells(nbformat.read(TOUR, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert sum("image/jpeg" in output.get("data", {}) for output in outputs) == 4
    assert TOUR.stat().st_size < 2_000_000


@pytest.mark.slow
def test_it_runs(tmp_path):
    from nbclient import NotebookClient

    notebook = nbformat.read(TOUR, as_version=4)
    NotebookClient(
        notebook, timeout=500, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    before, after = code_cells(notebook)[2].outputs[-1]["data"]["text/plain"].strip("{}").split(", ")
    assert float(after.split()[1]) > float(before.split()[1]), "a minute of training gains nothing"
