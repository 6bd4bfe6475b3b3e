"""A frozen network to evaluate: a module, a checkpoint or a name, and the view of its features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..backbones import Network, build_encoder, weights_digest
from ..backbones.checkpoints import (
    SUFFIXES,
    local_file,
    read_content,
    recipe_of,
    saved_encoder_of,
)
from ..backbones.description import RANDOM_WEIGHTS
from ..backbones.encoder import gives_extractors
from ..backbones.extractor import stated_stride
from ..backbones.names import read_spec
from ..backbones.trust import TRUSTED, named_code, package_of
from ..backbones.video import VideoEncoder
from ..videos.digests import file_digest

NetworkLike = Any
"""A `NetworkSpec`, a text of `NetworkSpec.read`, the path of a checkpoint, a module, an extractor, a video encoder."""


@dataclass(frozen=True)
class NetworkSpec:
    """A frozen network and the choice of its features.

    Attributes:
        name: name in tables.
        spec: a checkpoint, `timm:NAME`, `torchvision:NAME`, `package.module:callable` or `raw_colour`. A module, an
            extractor or a video encoder stands for itself.
        stage: name of the features. None is the benchmark's choice: res4 of a ResNet and the last block of a ViT for
            label propagation, SiamFC's dilated res5 for tracking.
        stride: pixels per feature cell; None is the benchmark's choice.
        pretrained: load the weights of timm or torchvision.
        seed: seed of random weights.
    """

    name: str
    spec: Any
    stage: str | None = None
    stride: int | None = None
    pretrained: bool = False
    seed: int = 0

    @classmethod
    def read(cls, text: str, pretrained: bool = False) -> NetworkSpec:
        """Read a network from the command line.

        Args:
            text: `SPEC`, `SPEC@STAGE` or `SPEC@STAGE/STRIDE`. SPEC is a checkpoint, `timm:NAME`, `torchvision:NAME`,
                `package.module:callable`, a short name such as `dino-b8`, or a baseline, `untrained` or `raw_colour`.
            pretrained: load the library's weights, for names of timm and torchvision.

        Raises:
            ValueError: if the stride is not a number.
        """
        view = read_spec(text)
        of_library = view["spec"].startswith(("timm:", "torchvision:"))
        trained = bool(view["pretrained"] or (of_library and pretrained))
        name = f"{text}, {RANDOM_WEIGHTS}" if of_library and not trained else text
        return cls(name, view["spec"], view["stage"], view["stride"], trained)

    @classmethod
    def of(cls, network: NetworkLike) -> NetworkSpec:
        """Return the spec of a network.

        Args:
            network: a spec, a text of `read`, the path of a checkpoint, a module, an extractor or a video encoder.
        """
        if isinstance(network, NetworkSpec):
            return network
        if isinstance(network, str | Path):
            return cls.read(str(network))
        return cls(Network.of(network).row, network)

    @property
    def is_named(self) -> bool:
        """True for a name or path, False for an object in memory."""
        return isinstance(self.spec, str)

    @property
    def is_random(self) -> bool:
        """True if the weights are random, so that seeds make different networks."""
        return self.is_named and self.spec.startswith(("timm:", "torchvision:")) and not self.pretrained

    def build(self) -> Any:
        """Return the encoder, with a method `feature_extractor`; an extractor or a video encoder stands for itself.

        Raises:
            ValueError: if the encoder cannot be built.
        """
        if is_extractor(self.spec):
            return self.spec
        if self.is_named:
            torch.manual_seed(self.seed)
        return build_encoder(self.spec, self.pretrained)

    def extractor(self, encoder: Any, benchmark: Any) -> Any:
        """Return the features of an encoder by stage and stride, or where they are None by those of the `Benchmark`.

        Raises:
            ValueError: if network and benchmark both name a stage or a stride.
        """
        if is_extractor(encoder):
            return encoder
        if self.stage is None and self.stride is None:
            return benchmark.extractor(encoder)
        if (self.stage and benchmark.stage) or (self.stride and benchmark.stride):
            raise ValueError(f"{self.name} names its features, and so does {benchmark.name}: leave one of them out")
        return encoder.feature_extractor(self.stage or benchmark.stage, self.stride or benchmark.stride)

    @property
    def file(self) -> Path | None:
        """The checkpoint of a path, or of an address on the hub; None for other networks."""
        if not self.is_named or not self.spec.endswith(SUFFIXES):
            return None
        path = local_file(self.spec)
        return path if path.is_file() else None

    def identity(self) -> dict[str, Any]:
        """Return view and weights: bytes of a checkpoint, digest of a module in memory, or a name with its seed."""
        view = {"stage": self.stage, "stride": self.stride}
        if not self.is_named:
            return view | {"class": type(self.spec).__qualname__, "weights": weights_digest(self.spec)}
        if self.file is not None:
            return view | {"sha256": file_digest(self.file)}
        return view | {"spec": self.spec, "pretrained": self.pretrained, "seed": self.seed}

    @property
    def is_reusable(self) -> bool:
        """True if the identity settles the features: no code of the user makes them."""
        if not self.is_named:
            return False
        if self.file is None:
            return ":" not in self.spec or package_of(self.spec) in TRUSTED
        content = read_content(self.file, whole=False)
        recipe = saved_encoder_of(content, self.file) or recipe_of(content, self.file)
        return all(package_of(name) in TRUSTED for name in named_code(recipe))


def is_extractor(network: object) -> bool:
    """Return whether an object gives feature maps as it is, so that a benchmark takes no view of it."""
    states_stride = isinstance(network, nn.Module) and stated_stride(network) is not None
    return not gives_extractors(network) and (states_stride or isinstance(network, VideoEncoder))


def with_unique_rows(networks: Iterable[NetworkSpec]) -> list[NetworkSpec]:
    """Return the networks; modules of one name get a number, since a row is a name."""
    counts: Counter[str] = Counter()
    unique: list[NetworkSpec] = []
    for network in networks:
        counts[network.name] += 1
        if counts[network.name] > 1 and not network.is_named:
            network = replace(network, name=f"{network.name} ({counts[network.name]})")
        unique.append(network)
    return unique
