"""All comparisons in short form, as one table, printed and written into docs/speed.md: `make speed`.

Each script runs in a separate process, one after the other, and says with `--help` how it measures in full. A row holds
the least time of either way; the error of a script that fails comes last, and then the document stays as it was.
"""

import os
import platform
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    "propagation --part 0.01 --repeats 2",
    "davis_stages --part 0.01 --repeats 2",
    "score --repeats 1",
    "local_attention --repeats 1",
    "info_nce --widths 128 --repeats 2",
    "crop",
    "decoding",
    "training_step --repeats 3 --only VFSSimSiam VFSMoCo Liir",
]


PAGE = ROOT / "docs" / "speed.md"
BLOCK = re.compile(r"(<!-- make speed -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    lines = [_machine(), "", "| what | plain | vidcorr | ratio |", "|---|---|---|---|"]
    print(*lines, sep="\n", flush=True)
    failed = []
    for command in COMMANDS:
        run = [sys.executable, "-m", *f"tests.speed.{command}".split()]
        done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
        rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
        print(*rows, sep="\n", flush=True)
        lines += rows
        if done.returncode:
            failed.append(f"{command}:\n{done.stderr[-2000:]}")
    if failed:
        sys.exit("\n".join(failed))
    page = PAGE.read_text()
    PAGE.write_text(BLOCK.sub(lambda found: found[1] + "\n".join(lines) + "\n" + found[2], page))


def _machine() -> str:
    model = re.search("model name.*: (.*)", Path("/proc/cpuinfo").read_text())
    isa = os.environ.get("ONEDNN_MAX_CPU_ISA", "all")
    return (
        f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s), "
        f"torch {torch.__version__}, instructions: {isa}, {date.today()}:"
    )


if __name__ == "__main__":
    main()
