"""The flags and the call of `vidcorr evaluate`."""

from argparse import Namespace
from dataclasses import replace
from itertools import chain

from ..experiments.runs.benchmark_choice import chosen_benchmarks, read_on
from ..experiments.runs.flags import BENCHMARK_FLAGS, NETWORK, NETWORK_FLAGS, Flag, folder, named_network, several
from ..videos.files import user_path

NAMED = "checkpoint, folder of a run, my_module:my_network, dino-b8 or another short name, timm:NAME, raw_colour, …"
FLAGS = (
    *BENCHMARK_FLAGS,
    *NETWORK_FLAGS,
    Flag("--output", "folder of results (default: %(default)s)", type=folder, default="evaluation"),
    Flag("networks", NAMED, nargs="+", metavar=NETWORK),
    Flag("--base", "network to compare the others with", default="", metavar="NETWORK"),
    several("--seeds", "N", "seeds of random weights (default: 0)", int),
)


def require(flags: Namespace) -> None:
    """Check, without torch, that benchmarks are named and their data exist.

    With `--change` data are not looked for, so that a mistake in the changed fields is told first.
    """
    if not flags.on:
        raise ValueError("evaluate: name a benchmark and the folder of its data: --on davis=/data/DAVIS")
    if flags.change:
        return
    for choice in read_on(flags.on):
        root = choice.arguments.get("root")
        if isinstance(root, str) and not user_path(root).exists():
            raise ValueError(f"--on {choice.config}={root}: there is no such file or folder")


def run(flags: Namespace) -> None:
    """Score networks on benchmarks and print their table."""
    chosen = chosen_benchmarks(flags)

    from ..experiments.reports.evaluation import evaluate  # it imports torch: mistakes above are told without the wait

    benchmarks = [choice.build() for choice in chosen]
    networks = {}
    for text in filter(None, [*flags.networks, flags.base]):
        network = named_network(text, flags)
        seeds = flags.seeds or [0]
        networks[text] = [replace(network, seed=seed) for seed in seeds] if network.is_random else [network]
    base_name = networks[flags.base][0].name if flags.base else ""
    evaluate([*chain(*networks.values())], benchmarks, flags.output, base_name)
