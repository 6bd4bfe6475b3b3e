"""All that is measured on a GPU, in one command: each command below in turn; one that fails does not hinder the rest.

python -m tests.speed.gpu
"""

import shlex
import subprocess
import sys

STEP = "-m tests.speed.training_step --device cuda --scale paper"
COMMANDS = [
    "-m pytest -q -m gpu",
    f"{STEP} --precision 32-true",
    f"{STEP} --precision bf16-mixed",
    f"{STEP} --precision bf16-mixed --compile",
    "-m tests.speed.propagation --device cuda --part 0.05",
    "-m tests.speed.benchmarks --device cuda",
    "cli.py fit --config configs/demo.yaml --trainer.accelerator gpu --trainer.devices 1 --trainer.strategy ddp",
]


def main() -> None:
    failed = []
    for command in COMMANDS:
        print(f"\n$ python {command}", flush=True)
        if subprocess.run([sys.executable, *shlex.split(command)], check=False).returncode:
            failed.append(command)
    if failed:
        sys.exit("\n".join(["failed:", *failed]))


if __name__ == "__main__":
    main()
