"""Networks by name: what a text says, and the network of timm, torchvision, the hub or a user's callable it names."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..description import RANDOM_WEIGHTS, Input, Network
from ..near_names import did_you_mean
from ..videos.digests import file_digest
from .files import trust
from .files.listed import OURS, SHORT_NAMES as SHORT_NAMES, is_listed
from .files.saved_models import METADATA_KEY, is_foreign, read_content, recipe_of
from .files.trust import NetworkName as NetworkName
from .hub_models import CONFIG, is_folder_of_model, one_line_errors

SUFFIXES = (".ckpt", ".pt", ".pth", ".safetensors")
LIBRARIES = ("timm:", "torchvision:")
TRANSFORMERS = "transformers:"
WITH_WEIGHTS = re.compile(r"(\w[\w.]*:[^=]+)=(.+)")
USERS_CALLABLE = re.compile(r"(?!(?:timm|torchvision|transformers|family):)[\w.]+:[\w.]+")
TRUSTED = (OURS, "timm", "torchvision", "transformers", "family")
FORMS = "timm:NAME, torchvision:NAME or package.module:callable"
VIEW = re.compile(r"(?!.*\.(?:bin|ckpt|pth?|safetensors|tar)$)[\w.+]*(?:/[^/]*)?")
"""What follows the last @ of a name: `STAGE` or `STAGE/STRIDE`, and not the end of a path."""
Located = tuple[str, Path | None, str]
"""Name of a network, empty for a file alone; the file of its weights, which may be missing; PART of `FILE#PART`."""


@dataclass(frozen=True)
class EncoderSpec:
    """A network by its name, with the chosen stage, stride, weights and input.

    It is a value: making it asks neither disk nor hub. A checkpoint holds it as `to_dict` returns it.

    Args:
        text: `NAME`, `NAME@STAGE` or `NAME@STAGE/STRIDE`; NAME as for `load`. Short names stand for networks with
            trained weights, except `untrained`; those of ViTs also name a stage.
        stage: name of the features; None: the stage in `text`. If neither names one, the benchmark chooses.
        stride: pixels per feature cell; None: the stride in `text`. If neither names one, the benchmark chooses.
        pretrained: load the library's weights, for names of timm and torchvision; others ignore it.
        seed: seed of random weights; None draws them from torch's state.
        input: the RGB that the network gets, stated by the caller; None: as the network or its library states.
        arguments: of a callable.
        label: name of the row in tables, such as that of the run if `text` is a run's checkpoint; None is the text.

    Attributes:
        spec: NAME, of a short name the full one.

    Raises:
        ValueError: if the stride is not a number above 0.

    Example:
        >>> network = EncoderSpec("dino-s16@block9")
        >>> network.spec, network.stage, network.pretrained
        ('timm:vit_small_patch16_224.dino', 'block9', True)
    """

    text: str
    stage: str | None = None
    stride: int | None = None
    pretrained: bool = False
    seed: int | None = 0
    input: Input | None = None
    arguments: Mapping[str, Any] | None = field(default=None, hash=False)
    label: str | None = None
    spec: str = field(init=False)

    def __post_init__(self) -> None:
        """Set `spec`, stage and stride: by the arguments, else as `text` says."""
        name, view = split_view(self.text)
        stage, slash, pixels = view.partition("/")
        stride = pixels if slash and self.stride is None else self.stride  # nothing after the slash is refused
        if stride is not None and not (str(stride).isdecimal() and int(stride) > 0):
            raise ValueError(f"{self.text}: the stride, after the last /, must be a number of pixels, got {stride!r}")
        spec, stage_of_short_name = split_view(SHORT_NAMES.get(name, name))
        implies_weights = name in SHORT_NAMES and spec.startswith("timm:")
        takes_weights = spec.startswith(LIBRARIES) and "=" not in spec
        settled = {
            "spec": spec,
            "stage": self.stage or stage or stage_of_short_name or None,
            "stride": None if stride is None else int(stride),
            "pretrained": implies_weights or (self.pretrained and takes_weights),
        }
        for attribute, value in settled.items():
            object.__setattr__(self, attribute, value)

    @classmethod
    def of(cls, stated: object, source: str | Path, pretrained: bool = False) -> "EncoderSpec":
        """Return the spec of a name, or of the fields that a file holds; its seed is None.

        Args:
            stated: a spec, which is returned as it is; a name; or the dict that `to_dict` returned, whose mean and std
                count only together.
            source: the file or argument that holds `stated`, for messages.
            pretrained: of a name: load the library's weights.

        Raises:
            ValueError: for another form, or fields that a spec does not have.
        """
        if isinstance(stated, cls):
            return stated
        if isinstance(stated, str):
            return cls(stated, pretrained=pretrained, seed=None)
        fields: dict[str, Any] = dict(stated) if isinstance(stated, Mapping) else {}
        text, mean, std = (fields.pop(name, None) for name in ("spec", "mean", "std"))
        wrong = fields.keys() - {"stage", "stride", "pretrained", "arguments"}
        if not isinstance(text, str) or wrong or not isinstance(fields.get("arguments", {}), Mapping):
            form = "the name of a network, such as my_module:my_network, or its fields spec, stage, stride, …"
            raise ValueError(f"{source}: expected {form}; got {str(stated)[: trust.LONGEST]}")
        own_input = None if mean is None or std is None else Input.of(mean, std, "of the checkpoint")
        return cls(text, input=own_input, seed=None, **fields)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that make the network again, as plain values; `seed` and `label` are left out."""
        fields: dict[str, Any] = {"spec": self.spec}
        for name in ("stage", "stride", "pretrained", "arguments"):
            value = getattr(self, name)
            if value:
                fields[name] = value
        if self.input is not None:
            fields |= {"mean": list(self.input.mean), "std": list(self.input.std)}
        return fields

    @property
    def name(self) -> str:
        """Name of the row in tables: the label, else the text; then ", random weights" if the weights are random."""
        shown = self.label or self.text
        return f"{shown}, {RANDOM_WEIGHTS}" if self.is_random else shown

    @property
    def is_random(self) -> bool:
        """True if two seeds make different networks: of a library without its weights, a class, our makers but one.

        A user's function brings its own weights, and `vidcorr-r18` loads them.
        """
        name, file, _ = self.located
        if file is not None:
            return False
        if is_listed(name):
            return not self.pretrained and name != SHORT_NAMES["vidcorr-r18"]
        module, _, member = name.partition(":")
        is_callable = USERS_CALLABLE.fullmatch(name) is not None
        return is_callable and isinstance(trust.import_named(module, member, f"backbone {name}"), type)

    @property
    def located(self) -> Located:
        """Name, file and part that `spec` stands for on this machine.

        A text that is the path of an existing file stands for this file, even if the path has an "=".

        Example:
            >>> EncoderSpec("timm:resnet18=runs/own.pth").located == ("timm:resnet18", Path("runs/own.pth"), "")
            True
        """
        folder = self.spec.removeprefix(TRANSFORMERS)
        if is_folder_of_model(folder):
            return f"{TRANSFORMERS}{folder}", None, ""
        path, part = file_and_part(self.spec)
        named = None if path.is_file() else WITH_WEIGHTS.fullmatch(self.spec)
        if named is not None:
            return named[1], *file_and_part(named[2])
        return ("", path, part) if str(path).endswith(SUFFIXES) or path.is_file() else (self.spec, None, "")

    def identity(self) -> dict[str, Any]:
        """Return the facts by which results of two networks differ, as plain values.

        They are stage, stride and stated input; and the weights, by the SHA-256 of their file, or by name and seed.
        """
        identity: dict[str, Any] = {"stage": self.stage, "stride": self.stride}
        if self.input is not None:
            identity |= {"mean": self.input.mean, "std": self.input.std}
        name, file, part = self.located
        if file is None or not file.is_file():
            return identity | {"spec": self.spec, "pretrained": self.pretrained, "seed": self.seed}
        identity |= {"sha256": file_digest(file), "part": part}
        return identity | ({"spec": name} if name else {})

    @property
    def is_reusable(self) -> bool:
        """True if results under this name can be reused: no code of the user, which may change, makes the features.

        The packages in the name decide, of which `TRUSTED` stay the same; for a checkpoint of ours, the packages that
        the checkpoint names. The content of a folder may change.

        Raises:
            ValueError: if a checkpoint is damaged, or names code that is not allowed.

        Example:
            >>> [EncoderSpec(text).is_reusable for text in ("vidcorr-r18", "timm:resnet18=own.pth", "my_module:net")]
            [True, True, False]
        """
        name, file, _ = self.located
        if name or file is None or not file.is_file():
            is_trusted = ":" not in self.spec or trust.package_of(self.spec) in TRUSTED
            return is_trusted and not is_folder_of_model(name.removeprefix(TRANSFORMERS))
        content = read_content(file, whole=False)
        if is_foreign(content):
            return True
        recipe = recipe_of(content, file)
        encoder = content[METADATA_KEY].get("encoder") or recipe
        return all(trust.package_of(name) in TRUSTED for name in trust.named_code(encoder))


def build(spec: EncoderSpec, with_weights: bool = True, of_file: str = "") -> tuple[nn.Module, Network]:
    """Build the network of a name (not of a file), without its classifier, and describe it.

    Random weights are drawn from torch's state. Residual blocks of the ResNets start at zero (SimSiam, section 4).

    Args:
        with_weights: load trained weights if `spec` asks for them, else draw random ones. False: the caller loads
            weights of a file afterwards, so none are fetched, and the network is not described as random.
        of_file: the file that names the network, whose weights the library's record of an input says nothing about.

    Raises:
        ValueError: if the library does not know the name, or a callable cannot be imported or does not return a module.
    """
    is_random = with_weights and spec.is_random
    full_name = spec.located[0]
    prefix, _, name = full_name.partition(":")
    # any other prefix is the module of a callable
    make = MAKERS.get(prefix, _make_by_callable)
    if of_file and spec.arguments and not trust.is_module(trust.import_named(prefix, name, of_file)):
        remedy = f"name it yourself, {spec.spec}={of_file}"
        raise trust.Refused(f"{of_file}: gives arguments to {spec.spec}, a function; {remedy}")
    network, architecture, source = make(name, spec, with_weights)
    if not of_file:
        trust.KNOWN.add(f"{prefix}.{name}")
    if not isinstance(network, nn.Module):
        raise ValueError(f"backbone {spec.spec}: expected a torch.nn.Module, got a {type(network).__name__}")
    # the library's record of an input belongs to its own weights: those that were loaded here, or, by a tag,
    # timm:NAME.TAG, those in the caller's file; of other weights it says nothing
    has_record = with_weights or (prefix == "timm" and "." in name)
    for part in network.modules():
        if "pretrained_cfg" in vars(part) and (is_random or of_file or not has_record):
            part.pretrained_cfg = {}  # type: ignore[assignment]
        if isinstance(part, nn.Conv2d) and not nn.parameter.is_lazy(part.weight):
            # six times faster in bfloat16 on a CPU, and faster on recent GPUs, with the same values and checkpoints
            part.to(memory_format=torch.channels_last)
    described = Network(
        name=re.sub(r"^resnet(\d+)$", r"ResNet-\1", architecture),
        weights=RANDOM_WEIGHTS if is_random else source,
        spec=full_name,
        seed=torch.initial_seed() if is_random else None,
        loaded=not is_random,
    )
    return network, described


def split_view(text: str) -> tuple[str, str]:
    """Split `NAME@STAGE/STRIDE` into NAME and `STAGE/STRIDE`; an `@` before the end of a path belongs to the path.

    Example:
        >>> split_view("runs@home/last.ckpt"), split_view("runs@home/last.ckpt@res4/8")
        (('runs@home/last.ckpt', ''), ('runs@home/last.ckpt', 'res4/8'))
    """
    name, at, view = text.rpartition("@")
    stride = view.partition("/")[2]
    is_of_path = "/" in name and stride and not stride.isdecimal()
    return (name, view) if at and VIEW.fullmatch(view) and not is_of_path else (text, "")


def is_checkpoint(spec: str) -> bool:
    """Return whether a text is a file of weights, or FILE#PART: by its suffix, or because it exists."""
    return EncoderSpec(spec).located[1] is not None


def file_and_part(text: str) -> tuple[Path, str]:
    """Split `FILE#PART` into path and PART, empty without one; a # in the path of an existing file belongs to it."""
    file, _, part = text.rpartition("#")
    if part and Path(file).is_file() and not Path(text).is_file():
        return Path(file), part
    return Path(text), ""


Made = tuple[Any, str, str]


def _make_by_timm(name: str, spec: EncoderSpec, with_weights: bool) -> Made:
    import timm

    if not timm.is_model(name):
        raise ValueError(f"backbone timm:{name}: timm has no such model{did_you_mean(name, timm.list_models())}")
    options: dict[str, Any] = {}
    file = timm.models.model_entrypoint(name).__module__.removeprefix("timm.models.")
    if file in ("vision_transformer", "vision_transformer_hybrid", "deit", "eva"):
        options = {"dynamic_img_size": True, "dynamic_img_pad": True}
    elif file in ("swin_transformer", "swin_transformer_v2"):
        options = {"strict_img_size": False}
    pretrained = spec.pretrained and with_weights
    what, how = f"backbone timm:{name}", ""
    place = getattr(timm.get_pretrained_cfg(name), "hf_hub_id", None) if pretrained else None
    if place:
        what += f": its weights, model.safetensors of {place} on the Hugging Face hub, cannot be fetched"
        how = f"hf download {place} --local-dir FOLDER, then timm:{name}=FOLDER/model.safetensors"
    with one_line_errors(what, how):
        network = timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    return network, name, "weights of timm"


def _make_by_torchvision(name: str, spec: EncoderSpec, with_weights: bool) -> Made:
    from torchvision import models

    if name.lower() not in models.list_models() or not hasattr(models.resnet, name.lower()):
        raise ValueError(f"backbone torchvision:{name}: no ResNet; timm:NAME has other networks")
    chosen: Any = models.get_model_weights(name).DEFAULT if spec.pretrained and with_weights else None
    how = f"download {chosen.url}, then torchvision:{name}=FILE" if chosen else ""
    with one_line_errors(f"backbone torchvision:{name}", how):
        # random residual blocks start at zero (SimSiam, section 4)
        network = models.get_model(name, weights=chosen, zero_init_residual=True)
    network.fc = nn.Identity()
    if chosen is not None:
        preset = chosen.transforms()
        network.pretrained_cfg = {"mean": preset.mean, "std": preset.std, "file": f"torchvision's record of {chosen}"}
    return network, name.lower(), "weights of torchvision"


def _make_by_callable(name: str, spec: EncoderSpec, with_weights: bool) -> Made:
    if not name:
        import timm

        form = f"timm:{spec.spec}" if timm.is_model(spec.spec) else FORMS
        module, _, member = spec.spec.rpartition(".")
        if Path(f"{module.replace('.', '/')}.py").is_file():  # the user's own, in the working directory
            form = f"{module}:{member}"
        near = did_you_mean(spec.spec, [*SHORT_NAMES, "raw_colour"])
        what = f"neither a checkpoint ({', '.join(SUFFIXES)}), a folder with {CONFIG}, nor a short name"
        raise ValueError(f"backbone {spec.spec!r}: {what}; write {form}{near}")
    maker = trust.import_named(spec.spec.partition(":")[0], name, f"backbone {spec.spec}")
    # without arguments a user's callable is called directly, so that its errors stay what they are
    network = maker() if spec.arguments is None else trust.constructed(maker, spec.arguments, spec.label or spec.spec)
    if spec.spec == SHORT_NAMES["vidcorr-r18"]:
        return network, "vidcorr-r18", "weights of vidcorr"
    return network, name, f"weights of {spec.spec}"


def _make_raw_colour(name: str, spec: EncoderSpec, with_weights: bool) -> Made:
    from .raw_colour import RawColour

    return RawColour(), RawColour.described.name, ""


def _make_by_transformers(name: str, spec: EncoderSpec, with_weights: bool) -> Made:
    from .video_encoders import from_transformers

    return from_transformers(name), name, "weights of transformers"


MAKERS: dict[str, Callable[[str, EncoderSpec, bool], Made]] = {
    "raw_colour": _make_raw_colour,
    "timm": _make_by_timm,
    "torchvision": _make_by_torchvision,
    "transformers": _make_by_transformers,
}
