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


SHORT = {"videos=24": "videos=4", "repeat=4": "repeat=2", "max_epochs=3": "max_epochs=1"}
SHORT |= {"every_n_epochs=3": "every_n_epochs=1", "frames_per_video=16": "frames_per_video=8"}
"""Text of the notebook → text of its quick run."""


@pytest.mark.slow
def test_its_cells_run(tmp_path):
    from nbclient import NotebookClient

    notebook = nbformat.read(TOUR, as_version=4)
    cells = code_cells(notebook)
    for long, short in SHORT.items():
        assert sum(cell.source.count(long) for cell in cells) == 1, long
        for cell in cells:
            cell.source = cell.source.replace(long, short)
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=500, kernel_name="python3", resources=place).execute()
