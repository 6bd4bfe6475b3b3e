"""Base of the modules of this project: how they are saved and loaded, and their features for benchmarks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, timedelta
from functools import cached_property, wraps
from importlib.metadata import version
from inspect import unwrap
from pathlib import Path, PurePath
from typing import Any, ClassVar

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.utils.data import DataLoader

from vidcorr.backbones import (
    Encoder,
    EncoderSpec,
    Network,
    NetworkName,
    load,
    module_from_checkpoint,
)
from vidcorr.backbones.extractor import Dilated
from vidcorr.backbones.files.saved_models import METADATA_KEY, check_metadata, load_weights, named_as_in
from vidcorr.backbones.files.trust import import_path, know, without_arguments_of_bases
from vidcorr.backbones.networks import SUFFIXES
from vidcorr.functional.images import as_floats

FORMAT = 2
"""Number of the form of checkpoints; a training goes on from no other."""
HOOKS = {"on_save_checkpoint", "on_load_checkpoint"}
"""Hooks without which a checkpoint of a subclass could not be read."""


def version_mistake(checkpoint: Mapping[str, object]) -> str:
    """Return why a training cannot go on from a checkpoint of ours, for a message; "" if its version permits it."""
    about = checkpoint[METADATA_KEY]
    # metadata of another form are no matter of versions: `check_metadata` refuses them
    written = about.get("format", 0) if isinstance(about, dict) else FORMAT
    return "" if written == FORMAT else f"of another version of vidcorr, format {written} for {FORMAT}"


def plain(value: object) -> Any:
    """Return an argument as a value that YAML and checkpoints give back, within containers too.

    Example:
        >>> plain({"sizes": (np.int64(2), 3), "mean": np.array([0.5, 1]), "root": Path("data")})
        {'sizes': (2, 3), 'mean': [0.5, 1.0], 'root': 'data'}
    """
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return tuple(map(plain, value)) if isinstance(value, tuple) else list(map(plain, value))
    if isinstance(value, PurePath | date):
        return str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def _after_bases(kind: type, hook: Callable[[Any, dict[str, Any]], None]) -> Callable[[Any, dict[str, Any]], None]:
    @wraps(hook)
    def after_bases(self: object, checkpoint: dict[str, Any]) -> None:
        getattr(super(kind, self), hook.__name__)(checkpoint)
        hook(self, checkpoint)

    return after_bases


class SavedModule(pl.LightningModule):
    """Base of all modules of this project: checkpoints that are read as data, and features for benchmarks.

    A subclass's `on_save_checkpoint` and `on_load_checkpoint` run after those of its bases where they lack `super()`.
    `hparams` holds plain values: of a dataclass a dict, of omegaconf's containers lists and dicts, of a path its text.

    Attributes:
        described: description of the network; None for a network without a name.
    """

    described: Network | None = None
    measured_by: ClassVar[str] = "--on davis=/data/DAVIS"
    """Flags that measure a checkpoint, in the line `next:` of a command; "" if its validation does."""
    evaluated_prefix: ClassVar[str] = "backbone."
    """Prefix of the weights of `evaluated` in a checkpoint."""

    def __init_subclass__(cls, **options: object) -> None:
        """Let a subclass's hook for checkpoints that forgets `super()` first call the hook of the bases."""
        super().__init_subclass__(**options)
        # who imports the class may load its checkpoints
        know(import_path(cls))
        for name in HOOKS.intersection(vars(cls)):
            hook = vars(cls)[name]
            if "super" not in unwrap(hook).__code__.co_names:
                setattr(cls, name, _after_bases(cls, hook))

    def __init__(self) -> None:
        super().__init__()
        # argument of a network → its value in `arguments_again`
        self._networks: dict[str, Any] = {}

    def _set_hparams(self, hp: Any) -> None:
        super()._set_hparams(hp)
        for name, value in self.hparams.items():
            self.hparams[name] = None if isinstance(value, nn.Module) else plain(value)

    def arguments_again(self) -> dict[str, Any]:
        """Return the arguments by which a checkpoint, which holds the weights, makes this module again.

        They are `hparams` as the caller gave them, but for a network: of that the name, since its file may be gone. A
        method whose arguments would not make it again, such as one that reads a file, overrides this.
        """
        return {**self.hparams, **self._networks}

    @property
    def counting_trainer(self) -> Any:
        """The Trainer that counts the epochs, batches and steps of a training.

        None without a Trainer, and while the Trainer validates, tests or predicts. A module that is an attribute of
        another module has the Trainer of that other module.
        """
        try:
            trainer: Any = self.trainer
        except RuntimeError:
            return None
        # Lightning's Fabric gives a stand-in for a Trainer, which has no such state
        return trainer if getattr(trainer, "training", False) is True else None

    def frozen_network(self, spec: NetworkName, pretrained: bool, argument: str = "backbone") -> Encoder:
        """Build an encoder that is not trained, and set `described`; the caller freezes its parameters.

        Checkpoints of the module hold the fields that build the network again, so they do not need its file.

        Args:
            spec: name of a network, or the fields of `EncoderSpec.to_dict`.
            pretrained: load the library's weights, for names of timm and torchvision.
            argument: argument that holds `spec`.

        Raises:
            ValueError: for an unknown network, or a module in place of its name.
        """
        encoder = load(EncoderSpec.of(spec, argument, pretrained))
        self.described = encoder.described
        # not pretrained: the checkpoint holds the weights
        self._networks |= {argument: encoder.spec and encoder.spec.to_dict(), "pretrained": False}
        return encoder

    @property
    def evaluated(self) -> Encoder:
        """The encoder that benchmarks evaluate, unless the module overrides `feature_extractor`."""
        raise NotImplementedError(f"{type(self).__name__} defines neither evaluated nor feature_extractor")

    def feature_extractor(
        self, stage: str | None = None, stride: int | None = None, dilated: Dilated = False
    ) -> nn.Module:
        """Return an extractor for benchmarks; it shares the weights and does not change this module.

        Args:
            stage: a stage of the network; None is its default.
            stride: pixels per cell; None is the network's default, 8 for a ResNet.
            dilated: SiamFC's dilations in place of the strides of res4 and res5, of a ResNet only; "text": as VFS's
                text has them.

        Returns:
            A module in eval mode: float RGB `(N, 3, H, W)` in [0, 1] → `(N, C, h, w)`, with `.stride`.

        Raises:
            ValueError: if the network has no such stage, stride or dilation.
        """
        return self.evaluated.view(stage, stride, dilated)

    def predict_step(self, batch: Any, batch_index: int = 0, dataloader_idx: int = 0) -> Any:
        """Return the features of images `(…, 3, H, W)`, floats in [0, 1] or bytes: `(…, C, h, w)`.

        The batch is the tensor of the images; a list or tuple that begins with it, as those of torchvision's data sets;
        or a dict that holds it as `clip`, else as `image`.
        """
        images = batch[0] if isinstance(batch, list | tuple) else batch
        if isinstance(images, Mapping):
            images = images.get("clip", images.get("image"))
        if not isinstance(images, Tensor):
            keys = f"a {type(batch).__name__} with {', '.join(map(str, batch))}" if batch else "nothing"
            raise ValueError(f"predict needs images, or a batch with clip or image, got {keys}")
        features = self.feature_extractor()(as_floats(images).flatten(0, -4))
        return features.unflatten(0, images.shape[:-3])

    def val_dataloader(self) -> DataLoader[Any]:
        """Return a loader of one empty batch: without a batch Lightning would run no hooks, and so no benchmarks."""
        return DataLoader([{}])  # type: ignore[arg-type]

    # no `property`: to compile a module, Lightning sets its steps
    @cached_property
    def test_step(self) -> Any:
        """The validation step: `trainer.test` logs the same values, and runs the same benchmarks."""
        return self.validation_step

    def test_dataloader(self) -> DataLoader[Any]:
        """Return the loader of `val_dataloader`."""
        return self.val_dataloader()

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: str | Path,
        map_location: object = None,
        *,
        strict: bool | None = None,
        weights_only: bool = True,
        **overrides: object,
    ) -> Any:
        """Load a checkpoint of this class, as data; Lightning's would call whatever the file names.

        Args:
            checkpoint_path: the file.
            map_location: device; None is the CPU.
            strict: False: weights that the file lacks keep their first values, and those that the module lacks are left
                out.
            weights_only: without effect.
            overrides: arguments that override the saved arguments.

        Raises:
            ValueError: if the file is missing or damaged, names code that is not allowed, or holds another class.
        """
        know(import_path(cls))
        module = module_from_checkpoint(checkpoint_path, strict=strict is not False, **overrides)
        if not isinstance(module, cls):
            raise ValueError(f"{checkpoint_path}: holds {type(module).__name__}, not {cls.__name__}")
        return module if map_location is None else module.to(map_location)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write class, arguments, version and encoder: the file is enough to load the module or its encoder."""
        # `hparams` may hold arguments of base classes too, which the constructor does not take
        arguments = without_arguments_of_bases(type(self), self.arguments_again())
        checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY] = plain(arguments)
        facts = {"class_path": import_path(type(self)), "version": version("vidcorr"), "format": FORMAT}
        checkpoint[METADATA_KEY] = facts | {"encoder": self.encoder_in_checkpoint()}

    @property
    def has_own_features(self) -> bool:
        """True if `feature_extractor` is overridden: benchmarks then use it in place of `evaluated`."""
        return type(self).feature_extractor is not SavedModule.feature_extractor

    def encoder_in_checkpoint(self) -> dict[str, Any] | None:
        """Return the fields that build the encoder again, and the `prefix` of its weights in the checkpoint.

        None for a module with features of its own: benchmarks then need the module's class.
        """
        if self.has_own_features:
            return None
        spec = self.evaluated.spec
        return ({} if spec is None else spec.to_dict()) | {"prefix": self.evaluated_prefix}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check that a checkpoint is ours and fits this module, load its weights, and describe them.

        Raises:
            ValueError: if the checkpoint is of another project, or does not fit; in a fit, of another version.

        Warns:
            If it names another network: strides or padding may differ, although the weights fit.
        """
        source = str(self.trainer.ckpt_path or "the checkpoint")
        check_metadata(checkpoint, source)
        mistake = version_mistake(checkpoint)
        if not mistake and checkpoint.get("optimizer_states") == []:
            mistake = "holds no state of an optimiser"
        if mistake and self.trainer.state.fn == "fit":
            remedy = f"begin anew from its weights, --model.backbone {source}, without --ckpt_path"
            raise ValueError(f"{source}: {mistake}: {remedy}")
        saved = checkpoint.get("hyper_parameters", {})
        own = self.arguments_again()
        for name in ("spec", "backbone"):
            ours = _network_name(own.get(name))
            theirs = _network_name(saved.get(name))
            # the same file may lie elsewhere
            is_path = ours.endswith(SUFFIXES) or theirs.endswith(SUFFIXES)
            if name in own and name in saved and ours != theirs and not is_path:
                rank_zero_warn(f"{source}: is of {theirs[:80]}, this model of {ours}: set model.{name}")
        # load the weights before Lightning does: its error would not name the file
        checkpoint["state_dict"] = named_as_in(self, checkpoint["state_dict"])
        load_weights(self, checkpoint["state_dict"], source, self.strict_loading)
        # a fit describes its weights at its start
        if self.trainer.state.fn != "fit":
            self.described = Network.of(self).with_weights_of(source, checkpoint)


def _network_name(argument: object) -> str:
    return str(argument["spec"] if isinstance(argument, Mapping) else argument)
