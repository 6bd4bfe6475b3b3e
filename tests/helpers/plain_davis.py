"""docs/reference/davis.py, the evaluation of DAVIS in one plain file, which shares no code with vidcorr."""

import runpy
from pathlib import Path
from types import SimpleNamespace

REFERENCE = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "docs/reference/davis.py")))
