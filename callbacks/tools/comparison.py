"""Several backbones under the same benchmarks, and the table of their scores."""

import hashlib
import importlib
import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from datamodules.reading.files import write_atomically
from lightning_modules.backbones import build_encoder
from lightning_modules.backbones.short_names import read_spec

from ..benchmarks.base import BenchmarkCallback
from ..folder_lock import FolderLock
from ..report import write_report
from ..results.records import Cell, Record, Table, cell_of, records_of
from ..results.rendering import console_table, notes, render, text_rows
from ..results.stored import read_run
from ..results.written import require_writable, wide_console


@dataclass(frozen=True)
class Network:
    """A backbone to evaluate.

    Attributes:
        name: in tables and, made fit for a file name, as its folder.
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
    def read(cls, text: str, pretrained: bool = False, seed: int = 0) -> "Network":
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
        torch.manual_seed(self.seed)
        return build_encoder(self.spec, self.pretrained)


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
        ValueError: if one is named twice or a stride is not a number.
    """
    rows = [Network.read(text, pretrained) for text in specs]
    if baselines:
        rows += [Network(f"untrained resnet18, seed {seed}", "torchvision:resnet18", seed=seed) for seed in seeds]
        rows.append(Network("raw colour", "raw_colour"))
    if twice := [name for name, count in Counter(row.name for row in rows).items() if count > 1]:
        raise ValueError(f"compare: {twice[0]} is named twice")
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
    lock = FolderLock(output, "give this comparison its own --output")
    try:
        return _compare(rows, benchmarks, output, base)
    finally:
        lock.release()


def _compare(
    rows: Sequence[Network], benchmarks: Sequence[BenchmarkCallback], output: Path, base: str
) -> dict[str, dict[str, float]]:
    console = wide_console()
    content: dict[str, dict[str, Any]] = {}
    folders = _folders([row.name for row in rows])
    for number, row in enumerate(rows, start=1):
        console.print(f"[{number}/{len(rows)}] {row.name}", markup=False, highlight=False)
        began = time.perf_counter()
        try:
            content[row.name] = _run(row, benchmarks, output / folders[row.name])
        except Exception as error:  # whatever a library raises for one network, the other rows are still wanted
            content[row.name] = {"error": f"{type(error).__name__}: {error}"}
            console.print(f"{row.name} failed: {content[row.name]['error']}", style="red", markup=False)
        content[row.name]["seconds"] = round(time.perf_counter() - began, 1)
        write_atomically(output / "compare.json", json.dumps(content, indent=2) + "\n")
    scores = {name: row["scores"] for name, row in content.items() if "scores" in row}
    if not scores:
        raise ValueError(f"compare: every backbone failed; {output / 'compare.json'} holds the reasons")
    runs = [(name, output / folders[name] / benchmark.name) for name in scores for benchmark in benchmarks]
    records = [record for name, folder in runs for record in _main_records(name, folder)]
    rows_of_table: dict[str, dict[str, Cell]] = {}
    for record in records:
        head = f"{record.column.benchmark} {record.column.score}"
        # each row is a network, not a sample of trainings
        rows_of_table.setdefault(record.name, {})[head] = cell_of([record], trained=False)
    table = Table(tuple(dict.fromkeys(head for row in rows_of_table.values() for head in row)), rows_of_table)
    if base in table.rows:
        table = table.with_differences(base)
    write_atomically(output / "compare.csv", render(table, "csv"))
    console.print(console_table(["", *table.heads], text_rows(table)))
    for note in (*notes(table), *dict.fromkeys(f"{one.name}: {one.column.conditions}" for one in records)):
        console.print(note, markup=False, highlight=False)
    for _, folder in runs:
        write_report(folder)  # each page has a line for every row, now that all are known
    return scores


def _main_records(name: str, folder: Path) -> list[Record]:
    run = read_run(folder)
    return records_of(run, name, run.main_scores())


def _run(row: Network, benchmarks: Sequence[BenchmarkCallback], folder: Path) -> dict[str, Any]:
    encoder = row.build()
    scores: dict[str, float] = {}
    features: dict[str, str] = {}
    protocols: dict[str, str] = {}
    for benchmark in benchmarks:
        chosen = row.stage is not None or row.stride is not None
        extractor = encoder.feature_extractor(row.stage, row.stride) if chosen else benchmark.extractor(encoder)
        if torch.cuda.is_available():
            extractor = extractor.cuda()
        found = benchmark.evaluate(extractor, folder / benchmark.name, row.name)
        scores |= {f"{benchmark.name}/{key}": value for key, value in found.items()}
        dilated = ", dilated" if getattr(extractor, "dilated", False) else ""
        features[benchmark.name] = f"{extractor.stage} at stride {extractor.stride}{dilated}"
        if named := read_run(folder / benchmark.name).protocols:
            protocols[benchmark.name] = ", ".join(f"{protocol['name']} {protocol['digest']}" for protocol in named)
    metadata = {"spec": row.spec, "features": features, "seed": row.seed, "pretrained": row.pretrained}
    return {"scores": scores, **metadata, "protocol": protocols}


def _folders(names: Sequence[str]) -> dict[str, str]:
    """Return name → folder; a hash separates names that would share a folder (`p/last.ckpt`, `p_last.ckpt`)."""
    plain = {name: re.sub(r"[^\w.-]", "_", name) for name in names}
    taken = Counter(folder.casefold() for folder in plain.values())
    return {
        name: folder if taken[folder.casefold()] == 1 else f"{folder}-{hashlib.sha1(name.encode()).hexdigest()[:8]}"
        for name, folder in plain.items()
    }


def benchmarks_of(
    config: Path, root: str | None = None, limit: int | None = None, protocol: str | None = None
) -> list[BenchmarkCallback]:
    """Build the benchmarks of a config of `configs/benchmarks/`; its stage and stride are dropped, with a message.

    Args:
        config: YAML with `trainer.callbacks+` or `trainer.callbacks`.
        root: replaces that of each benchmark.
        limit: replaces `limit_sequences` of each.
        protocol: replaces that of each, with its changes.

    Raises:
        ValueError: if the file is missing, is not such a config, names no benchmark, or gives one a wrong argument.
    """
    benchmarks = []
    for kind, arguments in _callbacks(config):
        left = {key: arguments.pop(key) for key in ("stage", "stride") if arguments.get(key) is not None}
        if left:
            options = " and ".join(f"{key} {value}" for key, value in left.items())
            print(f"{options} of {config} left out; write SPEC@STAGE or SPEC@STAGE/STRIDE")
        flags = {"root": root, "limit_sequences": limit, "protocol": protocol}
        arguments |= {key: value for key, value in flags.items() if value is not None}
        if protocol is not None:
            arguments.pop("changes", None)
        try:
            benchmarks.append(kind(**arguments))
        except TypeError as error:
            raise ValueError(f"{config}: {kind.__name__}: {error}") from error
    if not benchmarks:
        raise ValueError(f"{config}: names no benchmark under trainer.callbacks+")
    return benchmarks


def _callbacks(config: Path) -> Iterator[tuple[type[BenchmarkCallback], dict[str, Any]]]:
    import yaml  # type: ignore[import-untyped]

    if not config.is_file():
        raise ValueError(f"{config}: no such config")
    try:
        trainer: Mapping[str, Any] = yaml.safe_load(config.read_text())["trainer"]
        entries: list[Mapping[str, Any]] = trainer.get("callbacks+") or trainer["callbacks"]
        pairs = [(str(entry["class_path"]), dict(entry.get("init_args") or {})) for entry in entries]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{config}: expected class_path and init_args under trainer.callbacks+") from error
    for path, arguments in pairs:
        module, _, name = path.rpartition(".")
        kind = getattr(importlib.import_module(module or "callbacks"), name, None)
        if isinstance(kind, type) and issubclass(kind, BenchmarkCallback):
            yield kind, arguments
