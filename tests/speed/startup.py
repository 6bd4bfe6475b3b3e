"""Processor seconds until a word of the command line answers, beside the imports that it could not do without.

    python tests/speed/startup.py [--repeats 3]

Prints the minimum over the repeats, children included, each in a process of its own.
"""

import argparse
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
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
            "fit --help",
            "validate --help",
            "predict --help",
            "compare --help",
            "figure --help",
            "report --help",
            "convert --help",
            "export --help",
        )
    },
}


def processor_seconds(command: list[str]) -> float:
    """Run a command and return its user and system seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    for name, command in COMMANDS.items():
        print(f"{name:28} {min(processor_seconds(command) for _ in range(repeats)):6.2f}", flush=True)


if __name__ == "__main__":
    main()
