"""A view of a network: the map at a stage, kept by a hook while the network's own call computes it."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ..description import UNKNOWN, Input
from ..errors import message_of
from ..functional.device import PendingCopy, random_state_kept, to_device
from . import outputs as forms
from .calls import outputs_in_call, part_at
from .copies import device_of, module_copy, type_of_weights
from .extractor import (
    OUTPUT,
    UNDILATED,
    Dilated,
    FeatureExtractor,
    NoSuchMap,
    eval_mode,
    features_by,
    is_sharded,
    wrappers_of,
)
from .outputs import OWN, certain_input, has_cells, is_of_librarys_call, map_of_tokens, options_of_call, stage_paths
from .resnet import LAYER_OF_STAGE, dilate_as_siamfc, folded_copy, is_resnet, remove_strides
from .vit import dino_positions, is_vit, positions_set

STRIDE = 8
PROBES = ((64, 80), (128, 160))
"""Height and width of the images of noise, in turn, on which a network whose stages have names is tried."""
LARGE_PROBE = (256, 320)
"""Those for any other network, whose output alone tells what it is."""
ODD_PROBE = (129, 159)
"""Those for a network whose sides nobody states: halved again and again, they stay odd, rounded up or down."""
MULTIPLES = (8, 14, 16, 32, 64)
"""Pixels to whose multiples sides are padded, in turn, for a network that refuses other sides."""
REMEDIES = (
    "if it takes clips: give vidcorr.backbones.Clips(network); if only images of its own size: give a network that "
    "takes others, of timm by dynamic_img_size=True, or a wrapper that resizes images or interpolates positions"
)


class NetworkView(FeatureExtractor):
    """A view of what a network's own call computes: of a part's output, or of the call's.

    Forward hooks, adapters, an own `forward`, and compiled or quantised parts count, since the network runs as its user
    would run it. Its call ends early where no later part is needed. The network is not changed: where strides or
    patches have to change, the view has a copy over the same tensors.

    A stage is, in this order, a key of the call's output (of a dictionary, a list or timm's `features_only`), a name of
    `stage_paths`, or the path of a module. Tokens `(N, cells, C)` become a map if the side of a patch is known; class
    and register tokens are left out. The final norm of a transformer, its part `norm`, applies to `blockN` (DINO's
    evaluation), unless `final_norm` is False (Probe3D's and OmniProbe's). A stride smaller than a patch makes patches
    overlap (DINO-Tracker, Tumanyan et al., ECCV 2024); the image is padded with zeros, the mean colour, so that a patch
    stays centred on its cell.

    In eval mode the view computes in the network's eval mode, whatever mode it is in; in training mode in its own.

    Args:
        network: any; with `trains` in torch's wrappers or not.
        stage: a stage, or several with + between them, whose maps are joined. None: the map that the call of a user's
            network gives; else res4 of a ResNet, the last stage of other networks.
        stride: pixels per cell; stages of a ResNet with a larger stride lose it. None: 8 for a ResNet's stages, else
            the network's own.
        dilated: remove the strides of res4 and res5 and dilate their 3 x 3 convolutions by 2 and 4, as in VFS's code:
            half of it in the first block of a stage; in blocks of two such convolutions (ResNet-18 and 34) none in the
            second. "text": all of them (VFS, section 4.2).
        trains: the view is in training mode, keeps all strides, takes the last stage in place of res4, and calls the
            wrapper that shares the network's work with other processes, such as DDP.
        of_resnet: `STAGE` or `STAGE/STRIDE` of a ResNet, if neither is named.

    Raises:
        ValueError: for a stage that the call does not reach or that gives no map, another stride, or a network that
            takes no such images.

    Example:
        >>> from torchvision.models import resnet18
        >>> view = NetworkView(resnet18(), "res3+layer2.0")
        >>> view.stride, view(torch.rand(1, 3, 64, 96)).shape
        (8, torch.Size([1, 256, 8, 12]))
    """

    def __init__(
        self,
        network: Any,
        stage: str | None = None,
        stride: int | None = None,
        dilated: Dilated = False,
        trains: bool = False,
        of_resnet: str = "res4",
    ) -> None:
        wrappers = wrappers_of(network)
        network = wrappers[-1]
        super().__init__(stage or OWN, type(network).__name__)
        if dilated and not is_resnet(network):
            raise NoSuchMap(f"{self.network_name}: {UNDILATED}")
        shared = [each for each in wrappers if trains and is_sharded(type(each))]  # type: ignore[arg-type]
        self.called = tuple(shared[:1])
        self.dilated = dilated
        # not by `train`, which would set the user's own network too
        self.training = trains
        self.names = stage_paths(network)
        self.blocks = [path for name, path in self.names.items() if name.startswith("block")]
        self.options = options_of_call(network)
        patch: Any = network.patch_embed.feat_ratio() if is_vit(network) else forms.patch_of(network)
        self.patch = self.step = patch  # pixels between patches are fewer where these overlap
        if is_vit(network) and stride and stride != patch:
            if patch % stride or network.patch_embed.proj.kernel_size != (patch, patch):  # a hybrid has several
                raise NoSuchMap(f"stride {stride}: not a divisor of patches of {patch} px, which one convolution makes")
            network = module_copy(network, shares_tensors=True)
            # timm pads to the last
            network.patch_embed.proj.stride = network.patch_embed.patch_size = (stride, stride)
            self.step = stride
        has_positions = is_vit(network) and getattr(network, "pos_embed", None) is not None
        self.grid: Any = network.patch_embed.grid_size if has_positions else None
        self._probe(network, stage, stride, of_resnet)
        has_blocks = any(self.names.get(name) in self.blocks for name in self.stages)
        self.ignores = [*(() if self.grid else ("position_embedding",)), *(() if has_blocks else ("final_norm",))]

    def _probe(self, network: Any, stage: str | None, stride: int | None, of_resnet: str) -> None:
        """Choose the view on the first image of noise that the network takes and whose maps tell their strides."""
        stated = getattr(network, "multiple", self.step)
        candidates = (stated or 1,) if stated or is_of_librarys_call(network) else (1, *MULTIPLES)
        sizes = PROBES if self.names else (LARGE_PROBE,)
        errors: list[Exception] = []
        for self.pads_to, sides in product(candidates, sizes):
            self.network, is_last = network, sides == sizes[-1]
            self.sides = forms.probe_size(max(self.multiple, self.pads_to), sides)
            try:
                features = self._choose(stage, stride, of_resnet)
                cells = () if features is None or is_last else zip(features.shape[2:], self.sides, strict=True)
                if any(count < forms.MIN_CELLS or side % count for count, side in cells):
                    continue
                if len(candidates) > 1 and features is not None:
                    self._outputs_of_noise(ODD_PROBE, self.paths.values())
                break
            except NoSuchMap:  # says already what is wrong
                if is_last:
                    raise
            except Exception as error:
                errors += [error] if is_last else []
        else:
            said = message_of(errors[0]) or type(errors[0]).__name__
            size = f"{self.sides[0]} x {self.sides[1]}"
            raise NoSuchMap(f"{self.network_name}: no map of an image of {size} ({REMEDIES}): {said}") from errors[0]
        self.multiple = max(self.multiple, self.pads_to)

    def _choose(self, stage: str | None, stride: int | None, of_resnet: str) -> Tensor | None:
        """Set stages, their paths, the stride and the input; return the map of noise, None if no call is needed."""
        is_default = stage in (None, OWN) or (stage == OUTPUT and OUTPUT not in self.names)
        asked = [] if is_default else str(stage).split("+")
        own_stride = forms.stated_stride(self.network)
        if own_stride and not asked and not self.names:
            self.stage, self.stages, self.paths = OWN, [OWN], {OWN: ""}
            self._require_strides({own_stride}, stride, "leave stride out")
            return None
        paths = {name: name for name in asked if part_at(self.network, name) is not None} | self.names
        try:
            outputs = self._outputs_of_noise(self.sides, {*paths.values(), ""}, ends=False)
        except Exception:  # perhaps behind the stages
            if not asked:
                raise
            outputs = self._outputs_of_noise(self.sides, {paths.get(name, "") for name in asked})
        own = forms.maps_in(self.network, outputs[""], self.sides) if "" in outputs else {}
        only = own.get(OUTPUT, next(iter(own.values()), None) if len(own) == 1 else None)
        reached = [name for name in self.names if paths[name] in outputs]
        # a library's network is viewed by its stages, a user's by the map that its call gives, if it gives one
        has_stages = not has_cells(only) or is_of_librarys_call(self.network)
        if self.normalises:
            self.input = certain_input(self.network) or (UNKNOWN if has_stages else Input())
        if is_default and not (reached and has_stages):
            asked = [OWN]
        elif is_default and is_resnet(self.network) and not self.training:
            name, _, pixels = of_resnet.partition("/")
            asked, stride = name.split("+"), int(pixels) if pixels else stride
        elif is_default:
            asked = [next(name for name in reversed(reached) if "." not in name)]
        self.stage, self.stages = "+".join(asked), asked
        keys = [key for key in own if key != OUTPUT]
        self.paths = {name: "" if name in (*keys, OWN) else paths.get(name, "") for name in asked}
        for name, path in self.paths.items():
            if path and path not in outputs:
                raise NoSuchMap(f"stage {name!r}: the call of {self.network_name} does not reach it")
            if not path and name not in (*keys, *self.names, OWN):
                known = ", ".join([*keys, *reached]) or "no map by a name"
                raise NoSuchMap(f"stage {name!r}: {self.network_name} has {known}; null is its default")
        return self._choose_stride(outputs, stride)

    def _choose_stride(self, outputs: Mapping[str, Any], stride: int | None) -> Tensor:
        """Set the stride, which a ResNet's stages may lose in a copy of the network; return the map of noise."""
        remedy = "leave stride out"
        if is_resnet(self.network) and all(name in self.names for name in self.stages):
            of_layers = {name: self.names[name] for name in LAYER_OF_STAGE if name in self.names}
            maps = self._maps(outputs, of_layers, self.sides)
            strides = {name: round(self.sides[0] / each.shape[2]) for name, each in maps.items() if has_cells(each)}
            if stride not in (None, *strides.values()):
                possible = sorted({*strides.values()})
                raise NoSuchMap(f"stride {stride}: the strides of {self.network_name} can be {possible} or None")
            if not self.dilated:
                fitting = [f"@{name}/{pixels}" for name, pixels in strides.items() if pixels >= STRIDE]
                remedy = f"name {', '.join(fitting)}"
            # dilations take the place of strides
            coarsest = STRIDE if stride is None or self.dilated else stride
            layers = [LAYER_OF_STAGE[name] for name, pixels in strides.items() if pixels > coarsest]
            if self.dilated or (layers and not self.training):
                self.network = module_copy(self.network, shares_tensors=True)
                if self.dilated:
                    dilate_as_siamfc(self.network, as_released=self.dilated != "text")
                for layer in layers:
                    remove_strides(self.network.get_submodule(layer))
                outputs = self._outputs_of_noise(self.sides, self.paths.values())
        found = self._maps(outputs, self.paths, self.sides)
        for name, each in found.items():
            forms.require_map(each, self.network_name if name == OWN else f"{self.network_name}, stage {name!r}")
        self._require_strides({max(round(self.sides[0] / each.shape[2]), 1) for each in found.values()}, stride, remedy)
        features = self.joined(found)
        forms.require_stride(features, self.network_name, self.stride, self.sides)
        if OWN in found or not has_cells(features):
            forms.check_map(features, self.network_name)
        if OUTPUT in self.names:
            # some networks of timm drop a last incomplete cell
            self.multiple = self.stride
        if self.options and not self.patch:
            self.pads_to = self.stride
        return features

    def _require_strides(self, strides: set[int], wanted: int | None, remedy: str) -> None:
        if len(strides) > 1 or wanted not in (None, *strides):
            found = " and ".join(map(str, sorted(strides)))
            other = "" if wanted is None else f", not {wanted}"
            raise NoSuchMap(f"{self.stage} of {self.network_name} has stride {found}{other}: {remedy}")
        (self.stride,) = strides

    def _outputs_of_noise(self, sides: tuple[int, ...], paths: Collection[str], ends: bool = True) -> dict[str, Any]:
        image = _noise(sides, self.network).to(type_of_weights(self.network))
        with eval_mode(self.network), random_state_kept():
            return features_by(lambda images: self._outputs(images, paths, ends), image)

    def _outputs(self, images: Tensor, paths: Collection[str], ends: bool = True) -> dict[str, Any]:
        """Return path → output for images in the type of the weights, which are padded here."""
        bottom, right = (-side % self.pads_to for side in images.shape[2:])
        overlap = 0 if self.patch is None else self.patch - self.step
        # centres a patch that is larger than the stride on its cell
        before = overlap // 2
        after = overlap - before
        cells = [(side + -side % self.pads_to) // (self.step or 1) for side in images.shape[2:]]
        if bottom or right or overlap:
            images = pad(images, (before, after + right, before, after + bottom))
        positions: Any = nullcontext()
        if self.positions == "dino" and self.grid not in (None, tuple(cells)):
            embedding = self.network.pos_embed
            prefix = embedding.shape[1] - self.grid[0] * self.grid[1]
            size = (cells[0], cells[1])
            positions = positions_set(self.network, dino_positions(embedding, self.grid, size, prefix), size)
        with positions:
            return outputs_in_call(self.network, set(paths), self._call, images, ends and not self.called)

    def _call(self, images: Tensor) -> Any:
        (network,) = self.called or (self.network,)
        return network(pixel_values=images, **self.options) if self.options else network(images)

    def _maps(self, outputs: Mapping[str, Any], paths: Mapping[str, str], size: Sequence[int]) -> dict[str, Any]:
        """Return stage → map of the outputs that are there; an output that is no map stays as it is."""
        padded = [side + -side % self.pads_to for side in size]
        has_channels_last = str(getattr(self.network, "output_fmt", "")).endswith("NHWC")
        maps: dict[str, Any] = {}
        for name, path in paths.items():
            if path not in outputs:
                continue
            output = outputs[path]
            while path and isinstance(output, list | tuple) and output:  # as blocks of some networks give
                output = output[0]
            if has_channels_last and forms.is_map(output):
                output = output.permute(0, 3, 1, 2)
            if path in self.blocks and name in self.names and self.final_norm:
                output = (getattr(self.network, "norm", None) or nn.Identity())(output)
            maps[name] = map_of_tokens(output, self.step, padded) if path else self._own_map(name, output, padded)
        return maps

    def _own_map(self, name: str, output: Any, size: Sequence[int]) -> Any:
        maps = forms.maps_in(self.network, output, size)
        if name != OWN and name not in self.names:
            return maps.get(name)
        if len(maps) > 1 and OUTPUT not in maps:
            shapes = ", ".join(f"{key} {tuple(each.shape)}" for key, each in maps.items())
            raise NoSuchMap(f"{self.network_name}: gives several maps, choose one as stage: {shapes}")
        return maps.get(OUTPUT, next(iter(maps.values()), output))

    def map_of(self, images: Tensor) -> Tensor:
        """Return the maps of the stages, joined along the channels to `(N, C, h, w)`, from one call.

        Images are cast to the type of the network's weights. The map is float32 or finer, unless autocast chooses.
        """
        with nullcontext() if self.training else eval_mode(self.network):
            outputs = self._outputs(images.to(type_of_weights(self.network)), self.paths.values())
            maps = self._maps(outputs, self.paths, images.shape[2:])
        for name in self.stages:
            if name not in maps:
                raise NoSuchMap(f"stage {name!r}: the call of {self.network_name} did not reach it")
            forms.require_map(maps[name], self.network_name)
        features = self.joined(maps)
        device = images.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            return features
        return features.to(torch.promote_types(features.dtype, torch.float32))

    def folded(self) -> Any:
        """Return a copy with BatchNorms folded into convolutions if it gives the same map of noise; else itself.

        The copy has weights of its own, so make a new one after training. Of a ResNet and Liir's encoder.
        """
        if "res2" not in self.names:
            return self
        images = _noise(self.sides, self)
        try:
            fast: Any = self.changed(network=folded_copy(self.network))
            expected, found = features_by(self, images), features_by(fast, images)
        except RuntimeError:  # the parts of a user's network fit together in another way
            return self
        if found.shape != expected.shape:
            return self
        is_near = (found - expected).abs() <= 1e-3 * expected.abs().max()
        return fast if PendingCopy(is_near.all()).wait() else self


def _noise(sides: Sequence[int], network: nn.Module) -> Tensor:
    noise = torch.rand(1, 3, *sides, generator=torch.Generator("cpu").manual_seed(0), device="cpu")
    return to_device(noise, device_of(network))
