"""The notebook: what is stored of it came from running it whole, and it runs."""

import json
import tempfile
from pathlib import Path

import pytest

TOUR = Path(__file__).resolve().parents[1] / "docs" / "tour.ipynb"
CELLS = [cell for cell in json.loads(TOUR.read_text())["cells"] if cell["cell_type"] == "code"]
SHORT = {"videos=24": "videos=4", "repeat=4": "repeat=2", "max_epochs=3": "max_epochs=1"}
SHORT |= {"every_n_epochs=3": "every_n_epochs=1", "frames_per_video=16": "frames_per_video=8"}
SHORT |= {"    size=96": "    size=48", "video_size=192": "video_size=96"}
"""Text of the notebook → text of its quick run."""


def test_it_is_stored_as_it_ran():
    assert [cell["execution_count"] for cell in CELLS] == list(range(1, len(CELLS) + 1))
    outputs = [output for cell in CELLS for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert sum("image/jpeg" in output.get("data", {}) for output in outputs) == 4
    assert TOUR.stat().st_size < 2_000_000


@pytest.mark.slow
def test_its_cells_run(tmp_path, monkeypatch, caplog):
    """In this process: they hold plain Python."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    caplog.set_level("INFO", "pytorch_lightning")  # the notebook changes it; caplog sets it back
    script = "\n".join("".join(cell["source"]) for cell in CELLS)
    for long, short in SHORT.items():
        assert script.count(long) == 1, long
        script = script.replace(long, short)
    exec(script, {})
