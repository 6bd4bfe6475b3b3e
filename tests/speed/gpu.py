"""All that is measured on a GPU, in one command: `make gpu`; one part that fails does not hinder the rest.

The rows of all parts are printed as one table, and written into docs/speed.md under the name of the GPU.

python -m tests.speed.gpu --small       # does every part run: tiny sizes on the CPU, and nothing is written
"""

import sys
import tempfile
from datetime import date

import torch

from tests.speed.all import PAGE, run, with_table
from tests.speed.timing import flags


def commands(small: bool, folder: str) -> list[str]:
    """Return the commands, after `python`; a training writes into the folder."""
    device, accelerator, scale = ("cpu", "cpu", "tiny") if small else ("cuda", "gpu", "paper")

    def if_small(flags: str) -> str:
        return f" {flags}" if small else ""

    step = f"-m tests.speed.training_step --device {device} --scale {scale}{if_small('--repeats 1')}"
    propagation = f"-m tests.speed.propagation --device {device}{if_small('--small --repeats 1')}"
    root = f"--trainer.callbacks.benchmark.root {folder}/data/davis"
    fit = f"cli.py fit --config configs/demo.yaml --data.root {folder}/data {root}"
    return [
        f"-m pytest -q -m gpu{if_small('--collect-only')}",
        f"{step} --precision 32-true",
        f"{step} --precision bf16-mixed",
        f"{step} --precision bf16-mixed --compile{if_small('--only VFSSimSiam')}",
        f"{propagation} --part 0.05 --scale",  # maps of strides 8 and 4 are among its sizes
        f"{propagation} --video 40",  # as long as DAVIS's `shooting`
        f"-m tests.speed.benchmarks --device {device}{if_small('--small')}",
        f"{fit} --trainer.default_root_dir {folder} --trainer.accelerator {accelerator} --trainer.devices 1"
        " --trainer.strategy ddp"
        + if_small("--data.videos 4 --data.benchmark_videos 1 --data.point_videos 0 --trainer.max_steps 2"),
    ]


def main() -> None:
    parser = flags(__doc__)
    parser.add_argument("--small", action="store_true", help="tiny sizes on the CPU")
    small = parser.parse_args().small
    if not small and not torch.cuda.is_available():
        sys.exit("make gpu: torch finds no GPU on this machine")
    with tempfile.TemporaryDirectory() as folder:
        rows, failed = run(commands(small, folder))
    card = "CPU, tiny sizes" if small else torch.cuda.get_device_name()
    page = with_table(PAGE.read_text(), card, f"## {card}\n\ntorch {torch.__version__}, {date.today()}:", rows)
    if not small:
        PAGE.write_text(page)
    if failed:
        sys.exit("\n".join(["failed:", *failed]))


if __name__ == "__main__":
    main()
