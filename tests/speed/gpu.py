"""All that is measured on a GPU, in one command: `make gpu`; one part that fails does not hinder the rest.

The rows of all parts are printed as one table, and written into docs/speed.md under the name of the GPU.
"""

import shlex
import subprocess
import sys
from datetime import date
from pathlib import Path

import torch

PAGE = Path(__file__).resolve().parents[2] / "docs" / "speed.md"
STEP = "-m tests.speed.training_step --device cuda --scale paper"
COMMANDS = [
    "-m pytest -q -m gpu",
    f"{STEP} --precision 32-true",
    f"{STEP} --precision bf16-mixed",
    f"{STEP} --precision bf16-mixed --compile",
    "-m tests.speed.propagation --device cuda --part 0.05 --scale",  # maps of strides 8 and 4 are among its sizes
    "-m tests.speed.benchmarks --device cuda",
    "cli.py fit --config configs/demo.yaml --trainer.accelerator gpu --trainer.devices 1 --trainer.strategy ddp",
]


def main() -> None:
    if not torch.cuda.is_available():
        sys.exit("make gpu: torch finds no GPU on this machine")
    rows, failed = [], []
    for command in COMMANDS:
        print(f"\n$ python {command}", flush=True)
        done = subprocess.run([sys.executable, *shlex.split(command)], stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout, flush=True)
        rows += [line for line in done.stdout.splitlines() if line.startswith("| ")]
        if done.returncode:
            failed.append(command)
    card = torch.cuda.get_device_name()
    PAGE.write_text(with_table(PAGE.read_text(), card, f"torch {torch.__version__}, {date.today()}:", rows))
    if failed:
        sys.exit("\n".join(["failed:", *failed]))


def with_table(page: str, card: str, conditions: str, rows: list[str]) -> str:
    """Return the page with the table of a GPU at its end, in place of an earlier table of the same GPU."""
    begin, end = f"<!-- gpu: {card} -->\n", "<!-- end of gpu -->\n"
    head, found, rest = page.partition(begin)
    after = rest.partition(end)[2] if found else ""
    table = "\n".join(
        [f"## {card}\n", f"{conditions}\n", "| what | plain | vidcorr | ratio |", "|---|---|---|---|", *rows]
    )
    print(table, flush=True)
    return f"{head.rstrip()}\n\n{begin}{table}\n{end}{after}"


if __name__ == "__main__":
    main()
