"""The model card of a checkpoint beside its exported weights, with its scores."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from ...backbones import EncoderSpec, Input
from ...backbones.files.saved_models import METADATA_KEY, is_foreign, read_content
from ...backbones.model_export import export
from ...results.formats import grid
from ...results.records import results_below
from ...videos.addresses import file_name
from ...videos.files import write_atomically
from ..runs.config_files import as_list

CARD = "README.md"
HEAD = "---\nlibrary_name: vidcorr\n"
"""First lines of a card, in the hub's form, without the closing ---; a README.md that begins so is ours."""
NO_CHECKPOINT: Mapping[str, Any] = {METADATA_KEY: {}}
"""Content in place of a checkpoint's, for a network that is no checkpoint of ours; all fields are not recorded."""


def export_with_card(network: str, output: Path) -> str:
    """Export a network's backbone, and write a model card beside the file.

    For a checkpoint of ours, the card has the training and the scores of the checkpoint's run; for another network,
    these fields are "not recorded".

    Args:
        network: a checkpoint, a file or on a hub, or another network by name or file.
        output: the file to write, `.safetensors`.

    Returns:
        Lines of Python that load the file, and a comment that names the card.

    Raises:
        ValueError: if the folder holds a README.md that is no card of ours, if there is no such checkpoint, or if the
            checkpoint's backbone has no name.
    """
    card = output.parent / CARD
    if card.is_file() and not card.read_text("utf-8").startswith(HEAD):
        raise ValueError(f"{card}: is no model card of vidcorr and would be replaced; export into another folder")
    loading = export(network, output)
    name, file, _ = EncoderSpec(network).located
    content: Mapping[str, Any] = NO_CHECKPOINT
    run: Path | None = None
    # the text names a file alone, perhaps a checkpoint of ours; NAME=FILE is the network NAME with the file's weights
    if file is not None and not name:
        of_file = read_content(file, whole=False)
        if not is_foreign(of_file):
            content = of_file
            run = file.resolve().parent.parent
    text = card_of(content, run, output.name, loading.replace(str(output), output.name))
    if network == "vidcorr-r18":
        text = f"{HEAD}---\n{(files('vidcorr.backbones') / 'weights/vidcorr-r18.md').read_text('utf-8')}"
    write_atomically(card, text)
    return f"{loading}\n# card: {card}; upload both: hf upload OWNER/NAME {output.parent}"


def card_of(content: Mapping[str, Any], run: Path | None, file: str, loading: str) -> str:
    """Return the model card of a checkpoint's network: method, data, steps, and scores with their protocols.

    Args:
        content: content of the checkpoint; its entry `METADATA_KEY` names the method's class, perhaps also the input.
        run: folder of its run, which may hold config.yaml, for the data, and the results of benchmarks; None: there is
            none.
        loading: lines of Python that load the exported file.
    """
    method = content[METADATA_KEY].get("class_path", "not recorded").rpartition(".")[2]
    arguments = content.get("hyper_parameters", {}).items()
    # without names such as `_instantiator`, which Lightning adds
    plain = {name: value for name, value in arguments if isinstance(value, str | int | float) and name[0] != "_"}
    # a card names no path of the exporter
    words = [f"{name}={Path(str(value)).name if str(value)[:1] in '/~' else value}" for name, value in plain.items()]
    stated = content[METADATA_KEY].get("encoder") or {}
    about_input = f"Input: {Input.of(stated['mean'], stated['std'], '').rgb}." if "mean" in stated else ""
    step = content.get("global_step")
    training = "not recorded" if step is None else f"{step} steps, {content['epoch']} epochs"
    scores = []
    results = [] if run is None else results_below(run / "benchmarks").values()
    for result in results:
        # `history`: the evaluations during the training, this one last; leave out those of other steps, or of none
        if not result.history or result.history[-1].step != step:
            continue
        for name, text in result.texts(result.scores).items():
            printed = f"{text} {result.declaration(name).unit}".rstrip()
            scores.append([result.benchmark, result.stage.protocol.name, name, printed])
    paragraphs = [
        f"{HEAD}---\n# {file}",
        f"Method: {', '.join([method, *words])}.",
        about_input,
        f"Training: {training}. Data: {_data_of(run)}.",
        grid("md", ["benchmark", "protocol", "score", "value"], scores, right=3).strip(),
        "Licence: to be chosen by the owner.",
        f"```python\n{loading}\n```\n",
    ]
    return "\n\n".join(filter(None, paragraphs))


def _data_of(run: Path | None) -> str:
    """Return class and source's name of a run's data, `VideoDataModule clips`; "not recorded" without config.yaml."""
    if run is None or not (run / "config.yaml").is_file():
        return "not recorded"
    content = yaml.safe_load((run / "config.yaml").read_text("utf-8")) or {}
    data = content.get("data") or {}
    kind = str(data.get("class_path", "not recorded")).rpartition(".")[2]
    source = data.get("init_args", {}).get("source", "")
    names = [file_name(str(place).rstrip("/")) for place in as_list(source)]
    return " ".join(filter(None, [kind, *names]))
