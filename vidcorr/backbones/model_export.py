"""A network for other programs: weights as safetensors for torchvision, timm and this project; a view as ONNX."""

import json
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from ..videos.files import unfinished
from .encoder import Encoder
from .files.saved_models import METADATA_KEY
from .files.trust import import_path
from .loading import load


def export(checkpoint: str | Path, output: str | Path) -> str:
    """Write a network, or the backbone of a checkpoint, under its library's names, without heads and classifier.

    The file's metadata are `vidcorr`, a JSON of version and encoder, by which vidcorr's `load` reads the file again;
    and `load`, the Python code that loads it.

    Args:
        checkpoint: a network by name, file or checkpoint, as `load` takes it.
        output: the file to write, `.safetensors`.

    Returns:
        The Python code that loads the file.

    Raises:
        ValueError: if the module has no named backbone (a probe or SiamFC holds a view).
    """
    output = Path(output)
    encoder = load(checkpoint)
    # of a method of vidcorr with features of its own, the network is the method with its heads
    spec = None if hasattr(encoder.network, "has_own_features") else encoder.spec
    if spec is None:
        kind = type(encoder.network).__name__
        raise ValueError(f"{checkpoint}: {kind} holds no whole network with a name; export the encoder's own file")
    loading = _loading_code(encoder, output)
    about = {"class_path": import_path(Encoder), "version": version("vidcorr"), "encoder": spec.to_dict()}
    with unfinished(output) as temporary:
        weights = encoder.network.state_dict().items()
        # `save` refuses shared memory
        tensors = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in weights}
        content = save(tensors, {"format": "pt", METADATA_KEY: json.dumps(about), "load": loading})
        # not `save_file`, which lets no other user read the file
        temporary.write_bytes(content)
    return loading


def export_onnx(network: str, output: Path, size: tuple[int, int]) -> str:
    """Write the view of a network as ONNX: float RGB `images` `(1, 3, H, W)` in [0, 1] → `map` `(1, C, h, w)`.

    The normalisation is part of the graph.

    Args:
        network: a checkpoint or another name for `load`, with `@STAGE/STRIDE` for another view than the default.
        output: the file to write, `.onnx`.
        size: height and width of the images, pixels.

    Returns:
        The Python code that runs the file.

    Raises:
        ValueError: if the network cannot be loaded or maps no single images, or without the extra `onnx`.
    """
    if find_spec("onnxscript") is None:
        raise ValueError(f"{output}: ONNX needs an extra: pip install 'vidcorr[onnx]'")
    encoder = load(network)
    view = encoder.view()
    if view.in_order:
        raise ValueError(f"{network}: a video encoder maps no single images, as ONNX's graph would")
    images = torch.rand(1, 3, *size)
    # dynamo: by torch.export; external_data False: the weights are in the file itself
    with unfinished(output) as temporary, torch.no_grad():
        options: dict[str, Any] = {"input_names": ["images"], "output_names": ["map"]}
        torch.onnx.export(view, (images,), temporary, dynamo=True, external_data=False, verbose=False, **options)
    session = f'session = onnxruntime.InferenceSession("{output}")'
    return f'import onnxruntime\n{session}\n(features,) = session.run(None, {{"images": images}})'


def _loading_code(encoder: Encoder, output: Path) -> str:
    """Return the Python code that loads an exported file; for networks of timm and torchvision it needs no vidcorr."""
    library, _, name = encoder.described.spec.partition(":")
    if library == "timm":
        return f"import timm\nnetwork = timm.create_model({name!r}, num_classes=0, checkpoint_path={str(output)!r})"
    if library == "torchvision":
        made = f"network = torchvision.models.{name.lower()}()\nnetwork.fc = torch.nn.Identity()"
        file = f"safetensors.torch.load_file({str(output)!r})"
        return f"import safetensors.torch, torch, torchvision\n{made}\nnetwork.load_state_dict({file})"
    return f"from vidcorr.backbones import load\nencoder = load({str(output)!r})"
