"""Seconds and CPU seconds until a command answers, and those of the imports that it needs.

    python tests/speed/startup.py [--repeats 3]

Each runs in a separate process.
"""

import subprocess
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.speed.timing import flags, interleave, row  # noqa: E402

COMMANDS = ["check-data", "transcode", "shard", "prompt", "fit", "validate", "predict", "compare", "sweep", "score"]
COMMANDS += ["study", "figure", "report", "convert", "export"]
WORDS = ["--help", "--version", "fti", *(f"{command} --help" for command in COMMANDS)]
BASE = "import pytorch_lightning"


def main() -> None:
    repeats = flags(__doc__, 3).parse_args().repeats
    commands = {code: [sys.executable, "-c", code] for code in ("import torch", BASE)}
    commands |= {f"vidcorr {words}": [sys.executable, str(ROOT / "cli.py"), *words.split()] for words in WORDS}
    run = partial(subprocess.run, capture_output=True, check=False)
    found = interleave({name: partial(run, command) for name, command in commands.items()}, repeats)
    for name, times in found.items():
        print(f"{name:28} {times}")
        if name.startswith("vidcorr"):
            row(f"CPU time of `{name}`, against `{BASE}`", min(found[BASE].cpu), min(times.cpu))


if __name__ == "__main__":
    main()
