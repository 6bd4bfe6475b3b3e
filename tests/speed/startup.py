"""Seconds and CPU seconds until a command answers, and those of the imports that it needs.

    python tests/speed/startup.py [--repeats 3]

Prints the minimum of each over the repeats, children included, each in a separate process.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.speed.table import row  # noqa: E402

CLI = [sys.executable, str(ROOT / "cli.py")]
COMMANDS = {
    "import torch": [sys.executable, "-c", "import torch"],
    "import pytorch_lightning": [sys.executable, "-c", "import pytorch_lightning"],
    **{
        f"vidcorr {words}": [*CLI, *words.split()]
        for words in (
            "--help",
            "--version",
            "fti",
            "check-data --help",
            "transcode --help",
            "shard --help",
            "prompt --help",
            "fit --help",
            "validate --help",
            "predict --help",
            "compare --help",
            "sweep --help",
            "score --help",
            "study --help",
            "figure --help",
            "report --help",
            "convert --help",
            "export --help",
        )
    },
}


def seconds(command: list[str]) -> tuple[float, float]:
    """Run a command and return its seconds, and its user and system seconds."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, processor


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    plain = 0.0
    for name, command in COMMANDS.items():
        wall, processor = map(min, zip(*(seconds(command) for _ in range(repeats)), strict=True))
        plain = processor if name == "import pytorch_lightning" else plain
        if plain and name.startswith("vidcorr"):
            row(f"CPU time of `{name}`, against `import pytorch_lightning`", plain, processor)
        print(f"{name:28} {wall:6.2f} s {processor:6.2f} processor s", flush=True)


if __name__ == "__main__":
    main()
