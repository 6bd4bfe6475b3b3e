"""Compare several backbones under one benchmark in one table, together with baselines without training."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamodules.reading.files import write_atomically
from lightning_modules.backbones.short_names import read_spec

from ..command_line.configs import positive
from ..folder_lock import FolderLock
from ..results.records import records_of, tabulate
from ..results.rendering import notes, print_table, render, text_rows
from ..results.stored import Run, read_run
from ..results.written import require_writable
from .study_plan import slug

if TYPE_CHECKING:
    from ..benchmarks.base import BenchmarkCallback


@dataclass(frozen=True)
class Network:
    """A backbone to evaluate.

    Attributes:
        name: in tables and, see `slug`, of its folder.
        spec: see `build_feature_extractor`.
        stage: None is what a benchmark wants: res4 of a ResNet and the last block of a ViT for label propagation,
            SiamFC's dilated res5 for tracking.
        stride: pixels per feature cell; None is the stride that a benchmark wants.
        pretrained: the library's own weights.
        seed: seed of the weights of a backbone that comes without.
    """

    name: str
    spec: str
    stage: str | None = None
    stride: int | None = None
    pretrained: bool = False
    seed: int = 0

    @classmethod
    def read(cls, text: str, pretrained: bool = False, seed: int = 0) -> Network:
        """Read `SPEC`, `SPEC@STAGE` or `SPEC@STAGE/STRIDE`, see `read_spec`.

        Args:
            text: as above.
            pretrained: the library's own weights, for names of timm and torchvision.
            seed: see the class.

        Raises:
            ValueError: if the stride is not a number.
        """
        view = read_spec(text)
        of_library = pretrained and view["spec"].startswith(("timm:", "torchvision:"))
        return cls(text, view["spec"], view["stage"], view["stride"], bool(view["pretrained"] or of_library), seed)

    def build(self) -> Any:
        """Return its encoder."""
        import torch

        from lightning_modules.backbones import build_encoder

        torch.manual_seed(self.seed)
        return build_encoder(self.spec, self.pretrained)

    def evaluate(self, benchmark: BenchmarkCallback, encoder: Any, folder: Path) -> None:
        """Run a benchmark, on the GPU where there is one; it chooses the features where no stage and stride are given.

        Args:
            benchmark: what is run.
            encoder: of `build`; may be that of the same network with another stage and stride.
            folder: where the results go.
        """
        import torch

        chosen = self.stage is not None or self.stride is not None
        extractor = encoder.feature_extractor(self.stage, self.stride) if chosen else benchmark.extractor(encoder)
        benchmark.evaluate(extractor.cuda() if torch.cuda.is_available() else extractor, folder, self.name)


def contestants(
    specs: Sequence[str], pretrained: bool = False, seeds: Sequence[int] = (0, 1), baselines: bool = True
) -> list[Network]:
    """Read what the command line names.

    Args:
        specs: see `Network.read`.
        pretrained: see `Network.read`.
        seeds: seeds of the untrained baseline.
        baselines: add an untrained ResNet-18, once for each seed, and raw colour.

    Raises:
        ValueError: if two would have one folder or a stride is not a number.
    """
    rows = [Network.read(text, pretrained) for text in specs]
    if baselines:
        rows += [Network(f"untrained resnet18, seed {seed}", "torchvision:resnet18", seed=seed) for seed in seeds]
        rows.append(Network("raw colour", "raw_colour"))
    slugs = [slug(row.name) for row in rows]
    if twice := [name for name in slugs if slugs.count(name) > 1]:
        raise ValueError(f"compare: two rows would have one folder, {twice[0]}; name each backbone once")
    return rows


def compare(
    rows: Sequence[Network],
    benchmarks: Sequence[BenchmarkCallback],
    output: str | Path = "comparison",
    base: str = "",
) -> dict[str, dict[str, float]]:
    """Run benchmarks for several backbones and print one table; a row that fails is reported and skipped.

    Files: compare.json (scores, protocol, seconds), complete after each row; compare.csv, the printed table; and those
    of each run in a separate folder.

    Args:
        rows: the backbones.
        benchmarks: the same for all; where a row names neither stage nor stride, each takes the features it wants.
        output: folder.
        base: name of the row that the others are tested against; empty: no tests.

    Returns:
        Name → `<benchmark>/<score>` → fraction, of the rows that succeeded.

    Raises:
        DataError: if the data are not as they should be; before any work.
        ValueError: if there is no row `base`, before any work, or if every row failed.
        OSError: if the folder cannot be written or another process runs in it; before any work.
    """
    output = Path(output)
    if base and base not in (names := [row.name for row in rows]):
        raise ValueError(f"compare: --base {base!r} is no row; the rows are {'; '.join(names)}")
    require_writable(output)
    for benchmark in benchmarks:
        _ = benchmark.sequences
    content: dict[str, dict[str, Any]] = {}
    runs: dict[str, list[Run]] = {}
    with FolderLock(output, "give this comparison its own --output"):
        for number, row in enumerate(rows, start=1):
            print(f"[{number}/{len(rows)}] {row.name}", flush=True)
            began = time.perf_counter()
            try:
                encoder, folder = row.build(), output / slug(row.name)
                for benchmark in benchmarks:
                    row.evaluate(benchmark, encoder, folder / benchmark.name)
                runs[row.name] = [read_run(folder / benchmark.name) for benchmark in benchmarks]
                content[row.name] = _summary(row, runs[row.name])
            except Exception as error:  # whatever a library raises for one network, the other rows are still wanted
                content[row.name] = {"error": f"{type(error).__name__}: {error}"}
                print(f"{row.name} failed: {content[row.name]['error']}", flush=True)
            content[row.name]["seconds"] = round(time.perf_counter() - began, 1)
            write_atomically(output / "compare.json", json.dumps(content, indent=2) + "\n")
        if not runs:
            raise ValueError(f"compare: every backbone failed; {output / 'compare.json'} holds the reasons")
        _finish(runs, output, base)
    return {name: content[name]["scores"] for name in runs}


def _summary(row: Network, runs: Sequence[Run]) -> dict[str, Any]:
    """Return what compare.json holds of a row that succeeded."""
    own = {run.results["benchmark"]: run for run in runs}
    protocols = {name: [f"{each['name']} {each['digest']}" for each in run.protocols] for name, run in own.items()}
    return {
        "scores": {f"{name}/{key}": value for name, run in own.items() for key, value in run.results["scores"].items()},
        "spec": row.spec,
        "features": {name: "{stage} at stride {stride}".format(**run.results) for name, run in own.items()},
        "seed": row.seed,
        "pretrained": row.pretrained,
        "protocol": {name: ", ".join(each) for name, each in protocols.items() if each},
    }


def _finish(runs: dict[str, list[Run]], output: Path, base: str) -> None:
    """Print the table, and write it and the page of each run."""
    from ..report import write_report

    records = [
        record for name, own in runs.items() for run in own for record in records_of(run, name, run.main_scores())
    ]
    # each row is a network, not a sample of trainings
    table = tabulate(records, trained=False, short_heads=True)
    if base in table.rows:
        table = table.with_differences(base)
    write_atomically(output / "compare.csv", render(table, "csv"))
    print_table(["", *table.heads], text_rows(table))
    for note in (*notes(table), *dict.fromkeys(f"{one.name}: {one.column.conditions}" for one in records)):
        print(note)
    for of_benchmark in zip(*runs.values(), strict=True):
        folders = [run.folder for run in of_benchmark]
        for folder in folders:  # each page has a line for every row, now that all are known
            write_report(folder, [other for other in folders if other != folder])


def benchmarks_of(config: str | Path, **changes: Any) -> list[BenchmarkCallback]:
    """Build the benchmarks of a config of `configs/benchmarks/`; its stage and stride are dropped, with a message.

    Args:
        config: a file, or a name such as `benchmarks/davis.yaml`, that lists callbacks.
        **changes: replace arguments of each benchmark, None none; a `protocol` replaces its `changes` too.

    Raises:
        UsageError: if the file is missing or cannot be read.
        ValueError: if it names no benchmark, or gives one a wrong argument.
    """
    from ..benchmarks.base import BenchmarkCallback
    from ..command_line.arguments import class_named, merge, read_config

    trainer = merge([read_config(str(config))]).get("trainer")
    changes = {key: value for key, value in changes.items() if value is not None}
    benchmarks = []
    for entry in trainer.get("callbacks", []) if isinstance(trainer, dict) else []:
        kind, arguments = class_named(entry["class_path"]), entry.get("init_args", {})
        if kind is None or not issubclass(kind, BenchmarkCallback):
            continue
        left = {key: arguments.pop(key) for key in ("stage", "stride") if arguments.get(key) is not None}
        if left:
            options = " and ".join(f"{key} {value}" for key, value in left.items())
            print(f"{options} of {config} left out; write SPEC@STAGE or SPEC@STAGE/STRIDE")
        if "protocol" in changes:
            arguments.pop("changes", None)
        try:
            benchmarks.append(kind(**arguments | changes))
        except TypeError as error:
            raise ValueError(f"{config}: {kind.__name__}: {error}") from error
    if not benchmarks:
        raise ValueError(f"{config}: names no benchmark under trainer.callbacks+")
    return benchmarks


def common_flags() -> argparse.ArgumentParser:
    """Return the flags that `compare` and `sweep` share, as a parent of their parsers."""
    flags = argparse.ArgumentParser(add_help=False)
    flags.add_argument("--config", default="benchmarks/davis.yaml", help="config of a benchmark (default: DAVIS)")
    flags.add_argument("--root", help="folder of the data, instead of the config's")
    flags.add_argument("--protocol", help="named protocol, instead of the config's; the base of a sweep")
    flags.add_argument("--pretrained", action="store_true", help="load the pretrained weights of timm and torchvision")
    flags.add_argument("--limit", type=positive, metavar="N", help="evaluate only the first N sequences")
    flags.add_argument("--allow", action="append", metavar="NAME", help="class of yours that a checkpoint may name")
    return flags


def command(args: Sequence[str]) -> None:
    """Run `vidcorr compare` with its arguments; a user's mistake raises a one-line ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr compare", description=__doc__, parents=[common_flags()])
    kinds = "checkpoint, short name such as dino-b8, timm:NAME, …"
    parser.add_argument("specs", nargs="*", metavar="SPEC[@STAGE[/STRIDE]]", help=kinds)
    parser.add_argument("--base", default="", metavar="SPEC", help="row that the others are tested against")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1], help="seeds of the untrained baseline")
    parser.add_argument("--no-baselines", action="store_true", help="leave out raw colour and untrained networks")
    parser.add_argument("--output", type=Path, default=Path("comparison"), help="folder of results")
    flags = parser.parse_args(list(args))

    from lightning_modules.checkpoints import allow_named

    allow_named(args)
    changes = {"root": flags.root, "limit_sequences": flags.limit, "protocol": flags.protocol}
    benchmarks = benchmarks_of(flags.config, **changes)
    rows = contestants(flags.specs, flags.pretrained, flags.seeds, not flags.no_baselines)
    if not rows:
        raise ValueError("compare: name at least one backbone, or leave the baselines in")
    scores = compare(rows, benchmarks, flags.output, flags.base)
    if failed := [row.name for row in rows if row.name not in scores]:
        summary = f"{len(failed)} of {len(rows)} backbones failed ({', '.join(failed)})"
        raise ValueError(f"compare: {summary}; {flags.output / 'compare.json'} holds the reasons")
