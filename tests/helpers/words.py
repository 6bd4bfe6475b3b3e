"""Words of command lines that several tests run, and the one line that a refused one ends with."""

import json
from argparse import ArgumentParser
from typing import Any

from tests.helpers.refusal import refused
from vidcorr.cli import main
from vidcorr.experiments.runs.benchmark_choice import BenchmarkChoice, chosen_benchmarks
from vidcorr.experiments.runs.flags import BENCHMARK_FLAGS, add_flags
from vidcorr.experiments.runs.words import words_for_parser

SMALL = {"radius": 3, "context": 2}
"""Changes of a protocol for small frames."""


def flags(group: str, kind: str = "", **arguments: Any) -> list[str]:
    """Return the flags of one class, such as `--data=KIND --data.size=32`; a group `callbacks+` appends."""
    named = [f"--{group}={kind}"] if kind else []
    values = {
        key: json.dumps(value) if value is None or isinstance(value, dict) else value
        for key, value in arguments.items()
    }
    return named + [f"--{group.rstrip('+')}.{key}={value}" for key, value in values.items()]


RAW_COLOUR = [*flags("model", "FrozenEncoder", spec="raw_colour"), "--trainer.accelerator=cpu"]
NETWORK = "tests.helpers.encoders:TinyResNet"
TINY = flags("model", "VFSSimSiam", backbone=NETWORK, projector_dim=16, predictor_dim=8)
TINY += ["--trainer.accelerator=cpu"]


def clips(source: Any, **arguments: Any) -> list[str]:
    """Return the flags of small clips from a folder of videos."""
    given = {"source": source, "frames": 2, "size": 32, "batch_size": 2, "num_workers": 0}
    return flags("data", "VideoDataModule", **given | arguments)


def davis(root: Any, kind: str = "DavisBenchmark", **arguments: Any) -> list[str]:
    """Return the flags of a benchmark on small frames, and of its callback."""
    of_callback = {"every_n_epochs", "before_training"} & arguments.keys()
    callback = flags("trainer.callbacks+", "BenchmarkCallback", **{name: arguments.pop(name) for name in of_callback})
    return [*callback, *flags("trainer.callbacks.benchmark", kind, root=root, changes=SMALL, **arguments)]


def model_by_words(network: str) -> Any:
    """Return class and arguments of the model that the parser gets for `--model=NETWORK`."""
    word = words_for_parser(["validate", f"--model={network}"]).words[-1]
    return json.loads(word.removeprefix("--config="))["model"]


def chosen(*words: Any) -> list[BenchmarkChoice]:
    """Return the benchmarks that `--on` and its sisters choose."""
    parser = ArgumentParser()
    add_flags(parser, BENCHMARK_FLAGS)
    return chosen_benchmarks(parser.parse_args(list(map(str, words))))


def refusal(*words: Any) -> str:
    """Run a command line that must fail, and return its one line."""
    return refused(SystemExit, "^vidcorr: ", main, [str(word) for word in words])
