"""Image models of the library `transformers`, by a name on the hub or a folder, seen as maps of blocks or stages."""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ..datasets.lists import read_json
from ..description import IMAGENET_MEAN, IMAGENET_STD, UNKNOWN, Input
from .copies import device_of, type_of_weights
from .extractor import FeatureExtractor, attribute_set, features_by, is_of_library, stage_indices, stage_names
from .files.listed import IMAGE_MODELS, is_word, leaves_in
from .files.trust import LONGEST, reason, refuse
from .outputs import map_of_tokens, patch_of, probe_size, require_map

CONFIG = "config.json"
"""File by which a folder is that of a model of `transformers`."""
PREPROCESSOR = "preprocessor_config.json"
WEIGHTS = "model.safetensors"
UNUSED = re.compile(r"(.+\.)?(pooler\..+|mask_token)")
"""Weights that move no map; files of other tasks lack them."""


@contextmanager
def one_line_errors(what: str, how: str = "") -> Iterator[None]:
    """Turn any error of a block, which calls a library, into a ValueError of one line.

    Args:
        what: begins the line: the network, and what is fetched for it.
        how: the command that fetches it on a machine with internet; empty for a local folder.

    Raises:
        ValueError: for any error of the block.
    """
    try:
        yield
    except Exception as error:  # of many types
        remedy = f"; where there is a network, {how}" if how else ""
        raise ValueError(f"{what}: {reason(error)}{remedy}") from error


def is_of_transformers(network: nn.Module) -> bool:
    """Return whether a network is an image model of `transformers`, or of a subclass that keeps its `forward`."""
    if not is_of_library(network, "transformers") or not network.forward.__module__.startswith("transformers."):
        return False
    return next(iter(inspect.signature(network.forward).parameters), "") == "pixel_values"


class HubExtractor(FeatureExtractor):
    """A view of an image model of `transformers` after a block or a stage, or after several.

    A transformer with a `patch_size` has maps of its blocks, `block1 … blockN`, without class and register tokens. A
    convolutional or hierarchical model has maps of its stages, `stage1 … stageN`. The model's final norm is applied to
    every block, but only to the last stage; to none if `final_norm` is False. Images are padded at the right and lower
    border to whole cells.

    Args:
        network: the model. It is not copied and is put into eval mode.
        stage: a name, or several with + between them; None is the last block or stage.
        stride: None, or the stride of the stage.

    Raises:
        ValueError: if a stage does not exist or its stride differs, or the model takes no such images, or gives neither
            a map nor a token for each patch.
    """

    input = UNKNOWN
    ignores = ("position_embedding",)

    def __init__(self, network: Any, stage: str | None = None, stride: int | None = None) -> None:
        kind = type(network).__name__
        network.eval()
        self.patch = patch_of(network)  # pixels; None: a model without patches of a stated side
        sides = probe_size(self.patch or 1)
        noise = torch.rand(1, 3, *sides, generator=torch.Generator().manual_seed(0))  # a norm leaves zeros as they are
        picture = noise.to(device_of(network), type_of_weights(network))
        remedy = "if it takes images of its own size only, give a module that resizes images to it"
        with one_line_errors(f"{kind}: no maps of an image {tuple(picture.shape)}; {remedy}"):
            # the last hidden state, after a final norm if the model has one; and the outputs of the blocks or stages
            last, states = features_by(lambda images: outputs_of(network, images), picture)
        if last is None or not states or not isinstance(states[-1], Tensor):
            raise ValueError(f"{kind}: gives no last hidden state of its blocks: name its base model")
        self.prefix = "block" if states[-1].ndim == 3 else "stage"
        names = stage_names(self.prefix, len(states))
        super().__init__(stage or names[-1], names, kind)
        self.network: Any = network
        # indices in `states` to which the final norm applies: of stages the last, of blocks all
        self.normed = [len(states) - 1] if self.prefix == "stage" else list(range(len(states)))
        self.final = final_norm_of(network, as_tokens(states[-1]), as_tokens(last))
        # the stride is measured on the maps of the noise
        self.set_stride(self.require_one_stride(self._maps_of(states, sides), height=sides[0]), stride)
        self.multiple = self.stride  # `map_of` pads images to whole cells
        self.eval()

    def map_of(self, images: Tensor) -> Tensor:
        """Return the maps of the blocks or stages, joined along the channels to `(N, C, h, w)`, from one pass."""
        padded = pad(images, (0, -images.shape[3] % self.stride, 0, -images.shape[2] % self.stride))
        _, states = outputs_of(self.network, padded)
        return self.joined(self._maps_of(states, padded.shape[2:]))

    def _maps_of(self, states: Sequence[Tensor], size: Sequence[int]) -> dict[str, Tensor]:
        """Return name → map `(N, C, h, w)`, for this view's stages.

        Args:
            states: outputs of all blocks or stages of the model, in order.
            size: height and width of the images, pixels.

        Raises:
            ValueError: if there is not one token per patch, because the model drops or merges tokens.
        """
        maps: list[Tensor] = []
        for index in stage_indices(self.stages, self.prefix):
            state = states[index]
            if self.final_norm and index in self.normed:  # as the model itself does to this output
                normed = self.final(as_tokens(state))
                state = normed if state.ndim == 3 else normed.mT.unflatten(2, state.shape[2:])
            output = map_of_tokens(state, self.patch, size)
            maps.append(require_map(output, f"{self.network_name}, which has to give a token for each patch"))
        return self.numbered(self.prefix, maps)


def as_tokens(output: Tensor) -> Tensor:
    """Return a map `(N, C, h, w)` as tokens `(N, cells, C)`; tokens as they are.

    Example:
        >>> as_tokens(torch.zeros(1, 8, 2, 3)).shape, as_tokens(torch.zeros(1, 6, 8)).shape
        (torch.Size([1, 6, 8]), torch.Size([1, 6, 8]))
    """
    return output.flatten(2).mT if output.ndim == 4 else output


def blocks_of(model: nn.Module) -> nn.ModuleList:
    """Return the blocks or stages of a model: its first list of modules, from the outside in; an empty list if none.

    Example:
        >>> blocks_of(nn.Sequential(nn.Conv2d(3, 8, 8), nn.ModuleList([nn.Identity(), nn.Identity()])))
        ModuleList(
          (0-1): 2 x Identity()
        )
    """
    lists = (part for part in model.modules() if isinstance(part, nn.ModuleList))
    return next(lists, nn.ModuleList())


def outputs_of(model: Any, images: Tensor) -> tuple[Tensor | None, list[Tensor]]:
    """Return a model's outputs for images `(N, 3, H, W)`; the library interpolates positions.

    Outputs of blocks are kept by hooks, because the last of the library's `hidden_states` is before the final norm in
    some versions of the library and after it in others.

    Returns:
        The last hidden state, or None if the model gives none; and the outputs of its blocks or stages, in order.
    """
    if getattr(model.config, "takes_bgr", False):  # set by `image_model`
        images = images.flip(1)
    options = forward_options(model, images)
    states: list[Tensor] = []

    def keep(module: nn.Module, inputs: object, output: Any) -> None:
        """Keep a block's output, or the first member of a tuple; a forward hook."""
        states.append(output[0] if isinstance(output, tuple) else output)

    with ExitStack() as stack:
        for block in blocks_of(model):  # each hook is removed when the stack closes
            stack.callback(block.register_forward_hook(keep).remove)
        if "noise" in options:  # an MAE: mask no patch
            stack.enter_context(attribute_set(model.config, "mask_ratio", 0.0))
        output = model(pixel_values=images, **options)
    reshaped = getattr(output, "reshaped_hidden_states", None)  # Swin's maps; the first is the embedding's
    return getattr(output, "last_hidden_state", None), states if reshaped is None else list(reshaped[1:])


def forward_options(model: Any, images: Tensor) -> dict[str, Any]:
    """Return further arguments of a call for images `(N, 3, H, W)`: any size is taken, and all patches are kept."""
    options: dict[str, Any] = {"return_dict": True}
    config = model.config
    taken = inspect.signature(model.forward).parameters
    if "interpolate_pos_encoding" in taken:
        options["interpolate_pos_encoding"] = True
    if "noise" in taken and hasattr(config, "mask_ratio"):  # an MAE sorts patches by noise: ascending keeps their order
        patch = patch_of(model) or 1
        cells = images.shape[2] // patch * (images.shape[3] // patch)
        options["noise"] = torch.arange(cells, device=images.device).expand(len(images), -1)
    if hasattr(config, "depths") and hasattr(config, "embed_dim"):  # as Swin's, which merges tokens
        options["output_hidden_states"] = True  # then it gives the maps that `outputs_of` reads
    return options


def final_norm_of(model: nn.Module, state: Tensor, last: Tensor) -> nn.Module:
    """Return the layer norm that maps the tokens of a model's last block to the model's output.

    Args:
        model: the model.
        state: output of the last block, `(N, tokens, C)`.
        last: the model's output `(N, tokens, C)`, which may have a class token before these tokens.

    Returns:
        The norm, found by trying all norms outside of the blocks; an identity if none maps `state` to `last`.

    Example:
        >>> state, model = torch.rand(1, 6, 8), nn.Sequential(nn.LayerNorm(4), nn.LayerNorm(8))
        >>> last = torch.cat([torch.ones(1, 1, 8), model[1](state)], dim=1)  # a class token, and the normed tokens
        >>> final_norm_of(model, state, last) is model[1], final_norm_of(model, state, 2 * last)
        (True, Identity())
    """
    inside = set(blocks_of(model).modules())
    for part in model.modules():
        if part in inside or not (isinstance(part, nn.LayerNorm) or "RMSNorm" in type(part).__name__):
            continue
        with suppress(RuntimeError):  # a norm of another width
            if torch.allclose(part(state), last[:, -state.shape[1] :], atol=1e-5):
                return part
    return nn.Identity()


def is_folder_of_model(text: str | Path) -> bool:
    """Return whether a text is the path of a folder with the configuration of a model, of `transformers` or timm."""
    return Path(text, CONFIG).is_file()


def spec_of_folder(text: str) -> str:
    """Return the name of the network in a folder of a model: `timm:NAME=FILE` if timm wrote it, else `transformers:…`.

    Args:
        text: path of the folder.
    """
    record = record_of_timm(Path(text))
    return f"timm:{record['architecture']}={Path(text, WEIGHTS)}" if record else f"transformers:{text}"


def record_of_timm(folder: Path) -> dict[str, Any]:
    """Return the record of a network in the `config.json` that timm has written in a folder; empty without one.

    Returns:
        `architecture`, timm's name; `file`, the folder's file in words; `mean` and `std`, if they are stated.

    Raises:
        DataError: if the file is no JSON.
    """
    content = read_json(folder / CONFIG) if is_folder_of_model(folder) else None
    if not isinstance(content, dict) or "architecture" not in content:
        return {}
    stated = content.get("pretrained_cfg") or content  # an older file has its fields at the top
    kept = {name: stated[name] for name in ("mean", "std") if name in stated}
    return {"architecture": str(content["architecture"]), "file": f"{CONFIG} of {folder.resolve().name}"} | kept


def configuration_of(network: Any) -> dict[str, Any] | None:
    """Return the configuration of a model of `transformers`, also within a video encoder; None for other networks."""
    clips = getattr(network, "net", None)  # of a video encoder: it holds the model as `model`
    model = getattr(clips, "model", network)
    if not is_of_library(model, "transformers"):
        return None
    return without_sources(model.config.to_dict())


SOURCES = re.compile(
    "architecture|attn_implementation|auto_map|backbone|backbone_config|dtype|id2label|label2id|quantization_config"
    "|torch_dtype|use_pretrained_backbone|use_timm_backbone|_.*"
)
"""Fields of a configuration by which the library may fetch a network or code, or which do not describe the network."""


def without_sources(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration, and the configurations nested in it, without the fields of `SOURCES`.

    Example:
        >>> without_sources({"hidden_size": 384, "dtype": "float32", "text": {"_name_or_path": "/x", "depth": 2}})
        {'hidden_size': 384, 'text': {'depth': 2}}
    """
    kept: dict[str, Any] = {}
    for name, value in fields.items():
        if SOURCES.fullmatch(name) is None:
            kept[name] = without_sources(value) if isinstance(value, Mapping) else value
    return kept


def model_of_config(stated: Mapping[str, Any]) -> nn.Module:
    """Return the image model of a configuration, with random weights; nothing is read or fetched.

    Args:
        stated: fields of a config.json of transformers, with `model_type`; those that could fetch code or weights
            (`SOURCES`) are dropped.

    Raises:
        ValueError: if `model_type` is not in `IMAGE_MODELS` and the user has not allowed it, if transformers lacks it,
            or if a field is neither a number nor a word.
    """
    from transformers import AutoConfig, AutoModel

    fields = without_sources(stated)
    refuse([f"transformers:{fields.get('model_type')}"], "a configuration of transformers")
    with one_line_errors("a configuration of transformers"):
        for name, value in fields.items():
            if not all(map(is_word, leaves_in(value))):
                raise ValueError(f"its {name} is neither a number nor a word: {str(value)[:LONGEST]}")
        model = AutoModel.from_config(AutoConfig.for_model(fields.pop("model_type"), **fields))
    return getattr(model, "vision_model", model).eval()  # of a model of images and texts the part for images


def image_model(name: str) -> nn.Module:
    """Return the image model of a name on the hub or of a folder; its `pretrained_cfg` states its input, if known.

    Weights come from safetensors only, and no code of the hub runs. A model of images and texts gives its part for
    images.

    Args:
        name: name on the hub, or path of a folder with config.json and model.safetensors.

    Raises:
        OSError: if a file is missing.
        ValueError: if the library knows no model of the configuration, or weights are missing.
    """
    from transformers import AutoConfig, AutoModel, PretrainedConfig

    fields = without_sources(PretrainedConfig.get_config_dict(name)[0])
    if "model_type" not in fields:
        raise ValueError(f"its {CONFIG} names no model_type")
    config = AutoConfig.for_model(fields.pop("model_type"), **fields)  # without what names code or other networks
    options = {"use_safetensors": True, "dtype": torch.float32, "output_loading_info": True}
    model, report = AutoModel.from_pretrained(name, config=config, trust_remote_code=False, **options)
    # `UNUSED`: weights that move no map, such as those of a pooler
    missing = [key for key in report["missing_keys"] if not UNUSED.fullmatch(key)]
    if missing:
        raise ValueError(f"lacks {len(missing)} weights of {type(model).__name__}, such as {sorted(missing)[0]}")
    network: Any = getattr(model, "vision_model", model)
    stated, network.config.takes_bgr = processor_input(name, model.config.model_type)  # read by `outputs_of`
    if stated is not None:
        network.pretrained_cfg = {"mean": stated.mean, "std": stated.std, "file": stated.source}
    return network.eval()


def processor_input(name: str, kind: str) -> tuple[Input | None, bool]:
    """Return the mean and deviation by which a model's image processor normalises, measured on pictures of one colour.

    Args:
        name: name on the hub, or path of a folder.
        kind: type of the model. If the model has no processor, types that `IMAGE_MODELS` marks with `imagenet` get
            ImageNet's mean and deviation.

    Returns:
        The input, or None if it is unknown; and whether the processor swaps red and blue.

    Raises:
        ValueError: if the processor does more than to subtract and divide.
    """
    from transformers import AutoImageProcessor

    try:
        processor = AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError):
        source = f"the default of {kind}, whose {PREPROCESSOR} is not there"
        of_authors = Input(mean=IMAGENET_MEAN, std=IMAGENET_STD, source=source)
        return (of_authors if IMAGE_MODELS.get(kind) else None), False
    colours = torch.cat([torch.zeros(1, 3), torch.eye(3)])  # black, red, green, blue
    pictures = [(255 * colour).to(torch.uint8).view(3, 1, 1).expand(3, 64, 64) for colour in colours]
    options = {"do_resize": False, "do_center_crop": False, "do_pad": False, "return_tensors": "pt"}
    seen = processor(pictures, **options)["pixel_values"]
    values = seen.double().mean(dim=(-2, -1)).reshape(4, 3)  # pictures x channels
    is_flipped = bool(values[1, 2] != values[0, 2])  # red of the picture moves the third channel
    if is_flipped:
        values = values.flip(1)
    shifts = values[0]  # −mean / std, since the first picture is black
    factors = values[1:] - shifts  # 1 / std on the diagonal; rows: red, green, blue of the picture
    scales = factors.diag()
    if (factors - scales.diag()).abs().max() > 1e-6 or not bool((scales > 0).all()):
        raise ValueError(f"{PREPROCESSOR} of {Path(name).name}: does more than to subtract a mean and divide")
    source = f"{PREPROCESSOR} of {Path(name).name}" + (", BGR" if is_flipped else "")
    return Input.of(-shifts / scales, 1 / scales, source), is_flipped
