"""`python -m vidcorr`: the console script `vidcorr`, by the `cli.py` beside this package."""

import runpy
from pathlib import Path

DOOR = Path(__file__).resolve().parents[1] / "cli.py"

if __name__ == "__main__":
    runpy.run_path(str(DOOR), run_name="__main__")
