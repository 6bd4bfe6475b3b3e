"""A view of a network: the map at a stage, kept by a hook while the network's own call computes it."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ..description import UNKNOWN, Input
from ..functional.colour import normalised_lab
from ..functional.device import PendingCopy, random_state_kept, to_device
from . import outputs as forms
from .calls import outputs_in_call, part_at
from .copies import Reference, device_of, module_copy, type_of_weights
from .extractor import OUTPUT, Dilated, FeatureExtractor, NoSuchMap, eval_mode, features_by
from .liir_encoder import LiirEncoder
from .outputs import OWN, has_cells, map_of_tokens, patch_of
from .resnet import LAYER_OF_STAGE, dilate_as_siamfc, folded_copy, is_resnet, remove_strides
from .stages import certain_input, is_of_librarys_call, options_of_call, stage_paths
from .vit import dino_positions, is_vit, positions_set

STRIDE = 8
"""Pixels per cell of a view of a ResNet for which no stride is named."""
PROBE = (128, 160)
"""Height and width of the image on which a network whose stages have names is tried."""
LARGE_PROBE = (256, 320)
"""Those for any other network, whose output alone tells what it is."""
ODD_PROBE = (129, 159)
"""Those for a network whose sides nobody states: halved again and again, they stay odd, rounded up or down."""
MULTIPLES = (8, 14, 16, 32, 64)
"""Pixels to whose multiples sides are padded, in turn, for a network that refuses other sides."""


class NetworkView(FeatureExtractor):
    """A view of what a network's own call computes: of a part's output, or of the call's.

    Forward hooks, adapters, an own `forward`, and compiled or quantised parts count, since the network runs as its user
    would run it. Its call ends early where no later part is needed. The network is not changed: where strides or
    patches have to change, the view has a copy over the same tensors.

    A stage is, in this order, a key of the call's output (of a dictionary, a list or timm's `features_only`), a name of
    `stage_paths`, or the path of a module. Tokens `(N, cells, C)` become a map if the side of a patch is known; tokens
    of no cell are left out. The final norm of a transformer applies to `blockN` (DINO's evaluation), unless
    `final_norm` is False (Probe3D's and OmniProbe's). A stride smaller than a patch makes patches overlap
    (DINO-Tracker, Tumanyan et al., ECCV 2024); the image is padded with zeros, the mean colour, so that a patch stays
    centred on its cell.

    In eval mode the view computes in the network's eval mode, whatever mode it is in; in training mode in its own.

    Args:
        network: without torch's wrappers.
        stage: a stage, or several with + between them, whose maps are joined. None: the map that the call of a user's
            network gives; else res4 of a ResNet, the last stage of other networks.
        stride: pixels per cell; stages of a ResNet with a larger stride lose it. None: 8 for a ResNet's stages, else
            the network's own.
        dilated: remove the strides of res4 and res5 and dilate their 3 x 3 convolutions by 2 and 4, as in VFS's code:
            half of it in the first block of a stage; in blocks of two such convolutions (ResNet-18 and 34) none in the
            second. "text": all of them (VFS, section 4.2).
        is_whole: for training: keep all strides, and take the last stage in place of res4.
        called: the wrapper by which the network is called, such as DDP; None: the network itself.
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
        is_whole: bool = False,
        called: nn.Module | None = None,
        of_resnet: str = "res4",
    ) -> None:
        super().__init__(stage or OWN, type(network).__name__)
        self.called = None if called is None else Reference(called)
        self.dilated = dilated
        self.training = False  # not by `eval`, which would set the user's own network too
        self.names = stage_paths(network)
        self.blocks = [path for name, path in self.names.items() if name.startswith("block")]
        self.options = options_of_call(network)
        self.normalises = not isinstance(network, LiirEncoder)
        self.norm = ""  # path of the norm behind the last block
        self.patch: Any = network.patch_embed.feat_ratio() if is_vit(network) else patch_of(network)
        self.step = self.patch  # pixels between patches
        if is_vit(network) and stride not in (None, self.patch):
            network = self._with_overlapping_patches(network, stride)
        has_positions = is_vit(network) and getattr(network, "pos_embed", None) is not None
        self.grid: Any = network.patch_embed.grid_size if has_positions else None
        self.sides = (0, 0)  # of the images of noise; without one none
        stated = getattr(network, "multiple", self.step)
        self.multiple = 1 if self.normalises else 4  # Liir's own call takes any size
        candidates = (stated or 1,) if stated or is_of_librarys_call(network) else (1, *MULTIPLES)
        errors: list[Exception] = []
        for multiple in candidates:
            self.network, self.pads_to = network, multiple
            try:
                self._choose(stage, stride, is_whole, of_resnet)
                if len(candidates) > 1 and self.sides != (0, 0):
                    self._outputs_of_noise(ODD_PROBE, self.paths.values(), ends=True)
                break
            except NoSuchMap:  # says already what is wrong
                raise
            except Exception as error:  # of the network's own code
                errors.append(error)
        else:
            raise forms.no_map_of_image(self.network_name, self.sides, errors[0]) from errors[0]
        self.multiple = max(self.multiple, self.pads_to)
        is_read = {"position_embedding": bool(self.grid), "final_norm": any(map(self._is_block, self.stages))}
        self.ignores = [field for field, reads in is_read.items() if not reads]

    @classmethod
    def whole(cls, network: nn.Module, stage: str | None = None, called: nn.Module | None = None) -> Self:
        """Return a view for training: in the network's own mode, at its own strides."""
        view = cls(network, stage, is_whole=True, called=called)
        view.training = True
        return view

    def _is_block(self, name: str) -> bool:
        return self.names.get(name) in self.blocks

    def _choose(self, stage: str | None, stride: int | None, is_whole: bool, of_resnet: str) -> None:
        """Set stages, their paths, the stride and the input, by a call with noise."""
        is_default = stage in (None, OWN) or (stage == OUTPUT and OUTPUT not in self.names)
        asked = [] if is_default else str(stage).split("+")
        own_stride = forms.stated_stride(self.network)
        if own_stride and not asked and not self.names:  # it tells all that a call would
            self.stage, self.stages, self.paths = OWN, [OWN], {OWN: ""}
            self.input = certain_input(self.network) or Input()
            self._set_stride([own_stride], stride, "leave stride out")
            return
        self.sides = forms.probe_size(max(self.multiple, self.pads_to), PROBE if self.names else LARGE_PROBE)
        paths = {name: name for name in asked if part_at(self.network, name) is not None} | self.names
        try:
            outputs = self._outputs_of_noise(self.sides, {*paths.values(), ""}, ends=False)
        except Exception:  # perhaps behind the stages
            if not asked:
                raise
            outputs = self._outputs_of_noise(self.sides, {paths.get(name, "") for name in asked}, ends=True)
        own = forms.maps_in(self.network, outputs[""], self.sides) if "" in outputs else {}
        only = own.get(OUTPUT, next(iter(own.values()), None) if len(own) == 1 else None)
        reached = [name for name in self.names if paths[name] in outputs]
        is_copy = not has_cells(only)  # of a library's network: a user's own call would give a map
        self.input = certain_input(self.network) or (UNKNOWN if is_copy else Input())
        has_stages = bool(reached) and (is_copy or is_of_librarys_call(self.network))
        if is_default and has_stages and is_resnet(self.network) and not is_whole:
            name, _, pixels = of_resnet.partition("/")
            asked, stride = name.split("+"), int(pixels) if pixels else stride
        elif is_default:
            asked = [next(name for name in reversed(reached) if "." not in name) if has_stages else OWN]
        self.stage, self.stages = "+".join(asked), asked
        keys = [key for key in own if key != OUTPUT]
        self.paths = {name: "" if name in (*keys, OWN) else paths.get(name, "") for name in asked}
        for name, path in self.paths.items():
            if path and path not in outputs:
                raise NoSuchMap(f"stage {name!r}: the call of {self.network_name} does not reach it")
            if not path and name not in (*keys, *self.names, OWN):
                known = ", ".join([*keys, *reached]) or "no map by a name"
                raise NoSuchMap(f"stage {name!r}: {self.network_name} has {known}; null is its default")
        self._choose_stride(outputs, stride, is_whole)

    def _choose_stride(self, outputs: Mapping[str, Any], stride: int | None, is_whole: bool) -> None:
        """Set the stride; a stage of a ResNet may lose its own."""
        remedy = "leave stride out"
        if is_resnet(self.network) and all(name in self.names for name in self.stages):
            maps = self._maps(
                outputs, {name: self.names[name] for name in LAYER_OF_STAGE if name in self.names}, self.sides
            )
            strides = {name: self._stride_in(each) for name, each in maps.items()}
            if stride not in (None, *strides.values()):
                possible = sorted({*strides.values()})
                raise NoSuchMap(f"stride {stride}: the strides of {self.network_name} can be {possible} or None")
            if not self.dilated:
                fitting = [f"@{name}/{pixels}" for name, pixels in strides.items() if pixels >= STRIDE]
                remedy = f"name {', '.join(fitting)}"
            outputs = self._with_strides(strides, stride, is_whole) or outputs
        found = self._maps(outputs, self.paths, self.sides)
        for name, each in found.items():
            forms.require_map(each, self.network_name if name == OWN else f"{self.network_name}, stage {name!r}")
        self._set_stride([self._stride_in(found[name]) for name in self.stages], stride, remedy)
        forms.require_stride(self.joined(found), self.network_name, self.stride, self.sides)
        if OWN in found:
            forms.check_map(found[OWN], self.network_name)
        if OUTPUT in self.names:
            self.multiple = self.stride  # some networks of timm drop a last incomplete cell
        if self.options and not self.patch:
            self.pads_to = self.stride

    def _stride_in(self, features: Tensor) -> int:
        return max(round(self.sides[0] / features.shape[2]), 1) if has_cells(features) else 0

    def _set_stride(self, strides: list[int], wanted: int | None, remedy: str) -> None:
        if len(set(strides)) > 1 or wanted not in (None, *strides):
            found = " and ".join(map(str, sorted({*strides})))
            other = "" if wanted is None else f", not {wanted}"
            raise NoSuchMap(f"{self.stage} of {self.network_name} has stride {found}{other}: {remedy}")
        self.stride = strides[0]

    def _with_strides(self, own: Mapping[str, int], stride: int | None, is_whole: bool) -> dict[str, Any]:
        """Take larger strides from a copy of a ResNet, and return its outputs for noise; {} if nothing is to change."""
        # with `dilated`, dilations take the place of all strides above 8
        coarsest = STRIDE if stride is None or self.dilated else stride
        layers = [LAYER_OF_STAGE[name] for name, pixels in own.items() if pixels > coarsest and not is_whole]
        if not (layers or self.dilated):
            return {}
        self.network = module_copy(self.network, shares_tensors=True)
        if self.dilated:
            dilate_as_siamfc(self.network, as_released=self.dilated != "text")
        for layer in layers:
            remove_strides(self.network.get_submodule(layer))
        return self._outputs_of_noise(self.sides, self.paths.values(), ends=True)

    def _with_overlapping_patches(self, network: Any, stride: int) -> Any:
        convolution = network.patch_embed.proj
        if self.patch % stride or convolution.kernel_size != (self.patch, self.patch):  # a hybrid has several
            raise NoSuchMap(
                f"stride {stride}: not a divisor of patches of {self.patch} px, which one convolution makes"
            )
        network = module_copy(network, shares_tensors=True)
        embed = network.patch_embed
        embed.proj.stride = embed.patch_size = (stride, stride)  # the second is what timm pads to
        self.step = stride
        return network

    def _outputs_of_noise(self, sides: tuple[int, ...], paths: Collection[str], ends: bool) -> dict[str, Any]:
        """Return path → output for an image of noise in eval mode; note the norm behind the blocks."""
        noise = torch.rand(1, 3, *sides, generator=torch.Generator("cpu").manual_seed(0), device="cpu")
        image = to_device(noise, device_of(self.network)).to(type_of_weights(self.network))
        with eval_mode(self.network), random_state_kept(), self._noting_the_norm():
            return features_by(lambda images: self._outputs(images, paths, ends), image)

    def _outputs(self, images: Tensor, paths: Collection[str], ends: bool = True) -> dict[str, Any]:
        """Return path → output for images in the type of the weights, which are padded here."""
        height, width = images.shape[2:]
        size = self._padded(images)
        overlap = 0 if self.patch is None else self.patch - self.step
        before = overlap // 2  # centres a patch that is larger than the stride on its cell
        after = overlap - before
        if size != (height, width) or overlap:
            images = pad(images, (before, after + size[1] - width, before, after + size[0] - height))
        with self._interpolated(size):
            return outputs_in_call(self.network, set(paths), self._call, images, ends and self.called is None)

    def _padded(self, images: Tensor) -> tuple[int, int]:
        height, width = images.shape[2:]
        return height + -height % self.pads_to, width + -width % self.pads_to

    def _call(self, images: Tensor) -> Any:
        network = self.network if self.called is None else self.called.module
        if self.options:
            return network(pixel_values=images, **self.options)
        if not self.normalises:
            return network(normalised_lab(images))
        return network(images[:, :, None] if hasattr(self.network, "tubelet_size") else images)  # a clip of one frame

    def _maps(self, outputs: Mapping[str, Any], paths: Mapping[str, str], size: tuple[int, int]) -> dict[str, Any]:
        """Return stage → map, for the stages whose outputs are there; what is no map stays as it is."""
        maps: dict[str, Any] = {}
        for name, path in paths.items():
            if path not in outputs:
                continue
            if not path:
                maps[name] = self._own_map(name, outputs[path], size)
                continue
            output = forms.first_of(outputs[path])
            if self._is_block(name) and self.norm and self.final_norm:
                output = self.network.get_submodule(self.norm)(output)
            maps[name] = map_of_tokens(
                self._channels_first(output), self.step, size, getattr(self.network, "prefix_tokens", None)
            )
        return maps

    def _own_map(self, name: str, output: Any, size: tuple[int, int]) -> Any:
        maps = forms.maps_in(self.network, self._channels_first(output), size)
        if name != OWN and name not in self.names:
            return maps.get(name)
        if len(maps) > 1 and OUTPUT not in maps:
            shapes = ", ".join(f"{key} {tuple(each.shape)}" for key, each in maps.items())
            raise NoSuchMap(f"{self.network_name}: gives several maps, choose one as stage: {shapes}")
        return maps.get(OUTPUT, next(iter(maps.values()), output))

    def _channels_first(self, output: Any) -> Any:
        is_last = str(getattr(self.network, "output_fmt", "")).endswith("NHWC")  # as Swin of timm
        return output.permute(0, 3, 1, 2) if is_last and forms.is_map(output) else output

    def map_of(self, images: Tensor) -> Tensor:
        """Return the maps of the stages, joined along the channels to `(N, C, h, w)`, from one call.

        Images are cast to the type of the network's weights. The map is float32 or finer, unless autocast chooses.
        """
        return self._joined(lambda each: self._outputs(each, self.paths.values()), images)

    def exemplar(self, crops: Tensor) -> Tensor:
        """Return the map of SiamFC's exemplars, by the network's method `exemplar` if it has one, else by its call."""
        if not hasattr(self.network, "exemplar"):
            return self(crops)
        return self._joined(lambda images: {"": self.network.exemplar(images)}, self.prepared(crops))

    def _joined(self, function: Callable[[Tensor], dict[str, Any]], images: Tensor) -> Tensor:
        with nullcontext() if self.training else eval_mode(self.network):
            outputs = function(images.to(type_of_weights(self.network)))
            maps = self._maps(outputs, self.paths, self._padded(images))
        for name in self.stages:
            if name not in maps:
                raise NoSuchMap(f"stage {name!r}: the call of {self.network_name} did not reach it")
            forms.require_map(maps[name], self.network_name)
        features = self.joined(maps)
        device = images.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            return features
        return features.to(torch.promote_types(features.dtype, torch.float32))

    @contextmanager
    def _noting_the_norm(self) -> Iterator[None]:
        """Note in a call the path of the norm behind the blocks: the layer that gets the last block's output itself."""
        given: list[tuple[str, Any]] = []  # path of a layer outside of the blocks, and its input
        last: list[Any] = []
        with ExitStack() as stack:
            for path, part in self.network.named_modules() if self.blocks else ():
                if path == self.blocks[-1]:
                    hook = part.register_forward_hook(lambda module, inputs, output: last.append(output))
                    stack.callback(hook.remove)
                elif not path.startswith("blocks.") and not [*part.children()] and [*part.parameters()]:
                    hook = part.register_forward_pre_hook(
                        lambda module, inputs, path=path: given.append((path, inputs))
                    )
                    stack.callback(hook.remove)
            yield
        if last:
            tokens = forms.first_of(last[0])
            self.norm = next((path for path, inputs in given if forms.first_of(inputs) is tokens), "")

    @contextmanager
    def _interpolated(self, size: tuple[int, int]) -> Iterator[None]:
        """Interpolate the position embedding by DINO's rule during a block, if `positions` is "dino"."""
        cells = (size[0] // (self.step or 1), size[1] // (self.step or 1))
        if self.positions != "dino" or self.grid in (None, cells):
            yield
            return
        embedding = self.network.pos_embed
        prefix = embedding.shape[1] - self.grid[0] * self.grid[1]  # class and register tokens
        with positions_set(self.network, dino_positions(embedding, self.grid, cells, prefix), cells):
            yield

    def folded(self) -> Any:
        """Return a copy with BatchNorms folded into convolutions if it gives the same map of noise; else itself.

        The copy has weights of its own, so make a new one after training.
        """
        if not (is_resnet(self.network) or isinstance(self.network, LiirEncoder)):
            return self
        noise = torch.rand(1, 3, *self.sides, generator=torch.Generator("cpu").manual_seed(1), device="cpu")
        images = to_device(noise, device_of(self))
        try:
            fast: Any = folded_copy(self)
            expected, found = features_by(self, images), features_by(fast, images)
        except RuntimeError:  # the parts of a user's network fit together in another way
            return self
        if found.shape != expected.shape:
            return self
        is_near = (found - expected).abs() <= 1e-3 * expected.abs().max()
        return fast if PendingCopy(is_near.all()).wait() else self
