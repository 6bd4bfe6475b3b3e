"""All comparisons in short form, as one table: `make speed`.

Each script runs in a separate process, one after the other, and says with `--help` how it measures in full. A row holds
the least time of either way; the error of a script that fails comes last.
"""

import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    "propagation.py --part 0.01 --repeats 2",
    "davis_stages.py --limit 0 --part 0.01 --repeats 2",
    "region_boundary.py --repeats 3",
    "score.py --repeats 1",
    "local_attention.py --repeats 1 --only unfold shifts tiles",
    "info_nce.py --widths 128 --repeats 2",
    "crop.py",
    "decoding.py",
    "training_step.py --repeats 3",
    "video_encoder.py --repeats 3",
    "startup.py --repeats 1",
]


def main() -> None:
    print(f"{torch.get_num_threads()} thread(s), torch {torch.__version__}\n")
    print("| what | plain | vidcorr | ratio |\n|---|---|---|---|", flush=True)
    failed = []
    for command in COMMANDS:
        script, *words = command.split()
        run = [sys.executable, str(Path(__file__).with_name(script)), *words]
        done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
        print(*[line for line in done.stdout.splitlines() if line.startswith("| ")], sep="\n", flush=True)
        if done.returncode:
            failed.append(f"{command}:\n{done.stderr[-2000:]}")
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
