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

from datamodules.reading.files import csv_of_records, write_atomically
from lightning_modules.backbones import build_encoder
from lightning_modules.backbones.short_names import read_spec

from ..benchmarks.base import BenchmarkCallback
from ..benchmarks.results import require_writable, wide_console
from ..folder_lock import FolderLock
from ..report import write_report
from ..results.records import read_records, tabulate
from ..results.rendering import console_table, percent
from ..results.stored import protocols_of
from .table import cell_text, notes


@dataclass(frozen=True)
class Contestant:
    """One row of the table.

    Attributes:
        name: in the table and, made fit for a file name, as its folder.
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


def contestants(
    specs: Sequence[str], pretrained: bool = False, seeds: Sequence[int] = (0, 1), baselines: bool = True
) -> list[Contestant]:
    """Read what the command line names.

    Args:
        specs: `SPEC`, `SPEC@STAGE` or `SPEC@STAGE/STRIDE`, where SPEC is one of `build_feature_extractor` or of
            `SHORT_NAMES`.
        pretrained: the library's own weights, for names of timm and torchvision.
        seeds: seeds of the untrained baseline.
        baselines: add an untrained ResNet-18, once for each seed, and raw colour.

    Raises:
        ValueError: if one is named twice or a stride is not a number.
    """
    rows = [_read(text, pretrained) for text in specs]
    if baselines:
        rows += [Contestant(f"untrained resnet18, seed {seed}", "torchvision:resnet18", seed=seed) for seed in seeds]
        rows.append(Contestant("raw colour", "raw_colour"))
    names = [row.name for row in rows]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"compare: {twice[0]} is named twice")
    return rows


def compare(
    rows: Sequence[Contestant],
    benchmarks: Sequence[BenchmarkCallback],
    output: str | Path = "comparison",
    base: str = "",
) -> dict[str, dict[str, float]]:
    """Run benchmarks for several backbones and print one table; a row that fails is reported and skipped.

    Files, complete after each row: compare.json (scores, protocol, seconds), compare.csv, and those of each run in a
    separate folder.

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
    rows: Sequence[Contestant], benchmarks: Sequence[BenchmarkCallback], output: Path, base: str
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
        _write(output, content)
    scores = {name: row["scores"] for name, row in content.items() if "scores" in row}
    if not scores:
        raise ValueError(f"compare: every backbone failed; {output / 'compare.json'} holds the reasons")
    runs = {name: [output / folders[name] / benchmark.name for benchmark in benchmarks] for name in scores}
    keys = list(dict.fromkeys(key for row in scores.values() for key in row))
    head = [key.removeprefix(f"{benchmarks[0].name}/") if len(benchmarks) == 1 else key for key in keys]
    lines = [[name, *(percent(row.get(key)) for key in keys)] for name, row in scores.items()]
    console.print(console_table(["", *head], lines))
    for line in _uncertainties(runs, base if base in scores else ""):
        console.print(line, markup=False, highlight=False)
    for folder in [folder for row in runs.values() for folder in row]:
        write_report(folder)  # each page has a line for every row, now that all are known
    return scores


def _uncertainties(runs: Mapping[str, Sequence[Path]], base: str) -> Iterator[str]:
    """Yield lines with each benchmark's first score: every row's interval, and its difference from the base row.

    Args:
        runs: row → folders of its results, one for each benchmark.
        base: name of the base row; empty: none.
    """
    records = [record for name, folders in runs.items() for folder in folders for record in read_records(folder, name)]
    if not records:
        return
    table = tabulate(records, base, trained=False)
    for column in table.columns:
        cells = {name: row[column] for name, row in table.rows.items() if column in row}
        if any(cell.interval for cell in cells.values()):
            yield f"\n{column.benchmark}/{column.score} ({column.conditions})"
            yield from (f"  {name}: {cell_text(cell)}" for name, cell in cells.items())
        if base and not any(name.startswith(base) for name in cells):
            yield f"  not tested: {base} was scored under other conditions"
    yield from notes(table)


def benchmarks_of(
    config: Path,
    root: str | None = None,
    limit: int | None = None,
    advice: str = "write SPEC@STAGE or SPEC@STAGE/STRIDE",
    protocol: str | None = None,
) -> list[BenchmarkCallback]:
    """Build the benchmarks of a config of `configs/benchmarks/`; its stage and stride are dropped, with a message.

    Args:
        config: YAML with `trainer.callbacks+` or `trainer.callbacks`.
        root: replaces that of each benchmark.
        limit: replaces `limit_sequences` of each.
        advice: how to set stage and stride instead, for the message.
        protocol: replaces that of each, with its changes.

    Raises:
        ValueError: if the file is missing, is not such a config, names no benchmark, or gives one a wrong argument.
    """
    benchmarks = []
    for kind, arguments in _callbacks(config):
        left = {key: arguments[key] for key in ("stage", "stride") if arguments.get(key) is not None}
        if left:
            options = " and ".join(f"{key} {value}" for key, value in left.items())
            print(f"{options} of {config} left out; {advice}")
        given = {key: value for key, value in arguments.items() if key not in ("stage", "stride")}
        flags = {"root": root, "limit_sequences": limit, "protocol": protocol}
        given |= {key: value for key, value in flags.items() if value is not None}
        if protocol is not None:
            given.pop("changes", None)
        try:
            benchmarks.append(kind(**given))
        except TypeError as error:
            raise ValueError(f"{config}: {kind.__name__}: {error}") from error
    if not benchmarks:
        raise ValueError(f"{config}: names no benchmark under trainer.callbacks+")
    return benchmarks


def _read(text: str, pretrained: bool) -> Contestant:
    view = read_spec(text)
    named = view["spec"].startswith(("timm:", "torchvision:"))
    return Contestant(text, view["spec"], view["stage"], view["stride"], view["pretrained"] or (pretrained and named))


def _run(row: Contestant, benchmarks: Sequence[BenchmarkCallback], folder: Path) -> dict[str, Any]:
    torch.manual_seed(row.seed)
    encoder: Any = build_encoder(row.spec, row.pretrained)
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
        named = protocols_of(benchmark.results.metadata) if benchmark.results else []
        if named:
            protocols[benchmark.name] = ", ".join(f"{protocol['name']} {protocol['digest']}" for protocol in named)
    metadata = {"spec": row.spec, "features": features, "seed": row.seed, "pretrained": row.pretrained}
    return {"scores": scores, **metadata, "protocol": protocols}


def _write(output: Path, content: Mapping[str, Mapping[str, Any]]) -> None:
    write_atomically(output / "compare.json", json.dumps(content, indent=2) + "\n")
    records = [{"name": name, **row.get("scores", {})} for name, row in content.items()]
    write_atomically(output / "compare.csv", csv_of_records(records))


def _folders(names: Sequence[str]) -> dict[str, str]:
    """Return name → folder; a hash separates names that would share a folder (`p/last.ckpt`, `p_last.ckpt`)."""
    plain = {name: re.sub(r"[^\w.-]", "_", name) for name in names}
    taken = Counter(folder.casefold() for folder in plain.values())
    return {
        name: folder if taken[folder.casefold()] == 1 else f"{folder}-{hashlib.sha1(name.encode()).hexdigest()[:8]}"
        for name, folder in plain.items()
    }


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
