"""A job: a frozen network, a benchmark and a protocol, with a key for its result."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..backbones import build_encoder, weights_digest
from ..backbones.checkpoints import SUFFIXES
from ..backbones.networks import RANDOM_WEIGHTS
from ..backbones.pretrained import read_spec
from ..benchmarks.base import Benchmark
from ..functional import PropagationProtocol
from ..functional.evaluation_protocol import EvaluationProtocol
from ..tracking.label_tracker import seen_by
from .store import slug

UNTRAINED = "untrained"
"""Name of a baseline: a ResNet-18 with random weights."""
BASELINES = ("raw_colour", UNTRAINED)
OPTIONS = ("annotations", "dilated", "masks", "size_tolerance")
"""Arguments of benchmarks that may change a score and are missing in results.json."""
LONGEST = 60
"""Most characters of a network's name in a folder's name."""


@dataclass(frozen=True)
class NetworkSpec:
    """A frozen network and the choice of its features.

    Attributes:
        name: name in tables.
        spec: see `build_feature_extractor`.
        stage: name of the features. None is the benchmark's choice: res4 of a ResNet and the last block of a ViT for
            label propagation, SiamFC's dilated res5 for tracking.
        stride: pixels per feature cell; None is the benchmark's choice.
        pretrained: load the weights of timm or torchvision.
        seed: seed of random weights.
        upsample: upsampler of the features, see `build_upsampler`; None: none.
    """

    name: str
    spec: str
    stage: str | None = None
    stride: int | None = None
    pretrained: bool = False
    seed: int = 0
    upsample: str | None = None

    @classmethod
    def read(cls, text: str, pretrained: bool = False, seed: int = 0) -> NetworkSpec:
        """Read `SPEC`, `SPEC@STAGE` or `SPEC@STAGE/STRIDE`, see `read_spec`; SPEC may be the baseline `untrained`.

        Args:
            text: the text.
            pretrained: load the library's weights, for names of timm and torchvision.
            seed: see the class.

        Raises:
            ValueError: if the stride is not a number.
        """
        view = read_spec(text)
        if view["spec"] == UNTRAINED:
            name = text.replace(UNTRAINED, "untrained ResNet-18", 1)
            return cls(name, "torchvision:resnet18", view["stage"], view["stride"], seed=seed)
        of_library = view["spec"].startswith(("timm:", "torchvision:"))
        trained = bool(view["pretrained"] or (of_library and pretrained))
        name = f"{text}, {RANDOM_WEIGHTS}" if of_library and not trained else text
        return cls(name, view["spec"], view["stage"], view["stride"], trained, seed)

    @classmethod
    def of_study(cls, model: Sequence[str], seed: int = 0) -> NetworkSpec:
        """Read the `model` of a study's row: a network, and `--pretrained` if it is."""
        return cls.read(model[0], "--pretrained" in model, seed)

    @property
    def is_random(self) -> bool:
        """True if the weights are random, so that seeds make different networks."""
        return self.spec.startswith(("timm:", "torchvision:")) and not self.pretrained

    @property
    def weights(self) -> tuple[object, ...]:
        """Arguments of `build`; specs with equal values share an encoder."""
        return self.spec, self.pretrained, self.seed, self.upsample

    def build(self) -> Any:
        """Return the encoder."""
        torch.manual_seed(self.seed)
        return build_encoder(self.spec, self.pretrained, upsample=self.upsample)

    def extractor(self, encoder: Any, benchmark: Benchmark) -> Any:
        """Return the features of an encoder: by stage and stride, or the benchmark's choice if both are None."""
        chosen = self.stage is not None or self.stride is not None
        return encoder.feature_extractor(self.stage, self.stride) if chosen else benchmark.extractor(encoder)

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """Identity of the weights: digest of a checkpoint or of the user's network, else spec, source and seed."""
        if self.spec.endswith(SUFFIXES) and Path(self.spec).is_file():
            return {"sha256": hashlib.sha256(Path(self.spec).read_bytes()).hexdigest()}
        identity: dict[str, Any] = {"spec": self.spec, "pretrained": self.pretrained}
        if self.is_random:
            identity["seed"] = self.seed
        elif ":" in self.spec and not self.pretrained and not self.spec.startswith("transformers:"):
            encoder = self.build()  # the user's callable: its weights and code may change, its name stays
            identity["weights"] = weights_digest(encoder)
        return identity


@dataclass(frozen=True, eq=False)
class Job:
    """A network, a benchmark and a protocol.

    Attributes:
        network: see `NetworkSpec`.
        benchmark: the benchmark with its data; its `protocol` is not used.
        protocol: protocol of the evaluation.
    """

    network: NetworkSpec
    benchmark: Benchmark
    protocol: EvaluationProtocol

    @property
    def title(self) -> str:
        """Network, benchmark and protocol in words."""
        features = [self.network.stage, self.network.stride and f"stride {self.network.stride}"]
        shown = [text for text in features if text and str(text) not in self.network.name]
        return f"{', '.join([self.network.name, *shown])} on {self.benchmark.name} by {self.protocol.name}"

    @functools.cached_property
    def key(self) -> str:
        """Digest of network, features, benchmark, data and protocol.

        Of the data, the folder and the names and lengths of the sequences enter the digest.
        """
        benchmark, network = self.benchmark, self.network
        content = {
            "network": network.identity,
            "features": [network.stage, network.stride, network.upsample, benchmark.stage, benchmark.stride],
            "benchmark": [type(benchmark).__name__, benchmark.name, benchmark.data()],
            "options": {name: getattr(benchmark, name, None) for name in OPTIONS},
            "root": str(Path(getattr(benchmark, "root", "")).resolve()),
            "sequences": [[sequence.name, sequence.num_frames] for sequence in benchmark.sequences],
            "protocol": self.protocol.digest(),
        }
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]

    @property
    def folder(self) -> str:
        """Folder of the result in a store."""
        return f"{slug(self.network.name)[-LONGEST:]}-{self.benchmark.name}-{self.key}"

    @property
    def sight(self) -> tuple[object, ...]:
        """Jobs with equal values see the same frames and can share a pass of the network."""
        features = (self.network.stage, self.network.stride)
        frames = seen_by(self.protocol) if isinstance(self.protocol, PropagationProtocol) else (self.key,)
        return (*self.network.weights, features, id(self.benchmark), *frames)


def networks_of(
    specs: Iterable[str], pretrained: bool = False, seeds: Iterable[int] = (0,), baselines: bool = False
) -> list[NetworkSpec]:
    """Read the networks of a command line.

    Args:
        specs: see `NetworkSpec.read`; repeated names count once.
        pretrained: see `NetworkSpec.read`.
        seeds: seeds of random weights; a random network is returned once per seed.
        baselines: add the networks of `BASELINES`.

    Raises:
        ValueError: if a stride is not a number.
    """
    networks = []
    for text in dict.fromkeys([*specs, *(BASELINES if baselines else ())]):
        network = NetworkSpec.read(text, pretrained)
        networks += [replace(network, seed=seed) for seed in seeds] if network.is_random else [network]
    return networks
