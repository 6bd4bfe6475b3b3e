"""Outputs of any network, read as maps: one map, several in a container, or tokens of known patches."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import message_of
from ..functional.device import random_state_kept
from .copies import device_of
from .extractor import OUTPUT, FeatureExtractor, NoSuchMap, View, eval_mode, features_by

OWN = "its own map"
"""Stage of a network whose call gives the map."""
MIN_CELLS = 4
"""Least height and width of a map in cells; a smaller output is a pooled feature."""
MOST_LEADING = 16
"""Largest number of tokens of no cell, such as class and register tokens."""
PROBE = (256, 320)
"""Height and width of the blank image for measuring strides; not square, and no network's default size."""
OWN_METHOD = (
    "give it a method feature_extractor(stage, stride) that returns "
    "vidcorr.build_feature_extractor(self.trunk, stage, stride)"
)


def patch_of(network: object) -> int | None:
    """Return the distance between a transformer's patches, pixels.

    None if the network states none, or one for rows and another for columns.

    It is the stride of the projection `patch_embed.proj`, if there is one, since patches may overlap. Else it is
    `patch_size` of the network, its `patch_embed`, `embeds` or `config`.

    Example:
        >>> patch_of(nn.Conv2d(3, 8, 16, stride=16)) is None
        True
        >>> embedding = nn.Module()
        >>> embedding.patch_size = (2, 14, 14)  # frames, rows, columns
        >>> patch_of(embedding)
        14
    """
    parts = [getattr(network, name, None) for name in ("patch_embed", "embeds", "config")]
    step = getattr(getattr(parts[0], "proj", None), "stride", None)  # of `patch_embed`
    if isinstance(step, tuple) and isinstance(step[-1], int):
        return step[-1]
    for holder in (network, *parts):
        patch: Any = getattr(holder, "patch_size", None)
        sides = [patch] if isinstance(patch, int) else list(patch or ())[-2:]  # a third number counts frames
        if len(set(sides)) == 1:
            return int(sides[0])
    return None


def stated_stride(network: object) -> int | None:
    """Return a network's attribute `stride`, pixels per cell; None if it is missing, or a tuple as a convolution's.

    Example:
        >>> trunk = nn.Identity()
        >>> trunk.stride = 8
        >>> stated_stride(trunk), stated_stride(nn.Conv2d(3, 8, 16, stride=16))
        (8, None)
    """
    stride = getattr(network, "stride", None)
    return stride if isinstance(stride, int) else None


def map_of_tokens(output: Any, patch: int | None, size: Sequence[int], prefix: int | None = None) -> Any:
    """Return tokens `(N, tokens, C)` as a map `(N, C, h, w)`, without tokens of no cell such as class tokens.

    An output that is not of this form, or has fewer tokens than the images have patches, or over 16 more, is returned
    as it is.

    Args:
        output: of a network.
        patch: side of a patch, pixels; None if it is unknown.
        size: height and width of the images, pixels.
        prefix: number of tokens before the first cell's token; None: all tokens of no cell stand before it.

    Raises:
        ValueError: if there are fewer tokens of no cell than `prefix`.

    Example:
        >>> tokens = torch.tensor([10, 11, 12, 13, 14, 15, -1]).view(1, 7, 1)  # of 2 x 3 patches, and a class token
        >>> map_of_tokens(tokens, 8, (16, 24))
        tensor([[[[11, 12, 13],
                  [14, 15, -1]]]])
        >>> map_of_tokens(tokens, 8, (16, 24), prefix=0)
        tensor([[[[10, 11, 12],
                  [13, 14, 15]]]])
        >>> map_of_tokens(tokens, 4, (16, 24)) is tokens  # 24 patches of 4 px
        True
        >>> map_of_tokens(tokens, 8, (16, 24), prefix=3)
        Traceback (most recent call last):
            ...
        vidcorr.backbones.extractor.NoSuchMap: prefix_tokens is 3, but 1 of 7 tokens are of no patch
    """
    if patch is None or not isinstance(output, Tensor) or output.ndim != 3:
        return output
    rows, columns = size[0] // patch, size[1] // patch
    of_no_cell = output.shape[1] - rows * columns  # class and register tokens
    if not 0 <= of_no_cell <= MOST_LEADING:
        return output
    if prefix is not None and not 0 <= prefix <= of_no_cell:
        raise NoSuchMap(f"prefix_tokens is {prefix}, but {of_no_cell} of {output.shape[1]} tokens are of no patch")
    first = of_no_cell if prefix is None else prefix
    return output[:, first : first + rows * columns].mT.unflatten(2, (rows, columns))  # .mT: N x C x cells


class MapExtractor(FeatureExtractor):
    """A view of the map that a user's module returns when it is called with float RGB `(N, 3, H, W)`.

    If the module returns several maps, in a dictionary, a list or a tuple, the stage names one of them, or several with
    + between them: a key, a name of timm's `features_only`, or an index from 0. A single map needs no stage.

    The stride is the module's attribute `stride`, else it is measured on a blank image. Benchmarks pad the sides of
    images to a multiple of the module's attribute `multiple`, else of its patches. Tokens `(N, cells, C)` become a map
    if the side of a patch is known (attribute `patch_size` of the module, its `patch_embed` or `config`); tokens of no
    cell are left out. A network of clips, which states its `tubelet_size`, gets each frame as a clip
    `(N, 3, 1, H, W)`.

    Args:
        network: the module. It is not copied: it is put into eval mode for each pass, and put back.
        stage: name of a map, or several with + between them; None for a module that returns a single map.
        stride: None, or the stride of the map.

    Raises:
        ValueError: for another stage or stride. If the stride is measured: if the output is not a map of at least
            4 × 4 cells.

    Example:
        >>> network = nn.Conv2d(3, 8, 16, stride=16)
        >>> view = MapExtractor(network)
        >>> view.stride, view.stage, view(torch.rand(1, 3, 64, 96)).shape
        (16, 'its own map', torch.Size([1, 8, 4, 6]))
    """

    takes_copy = False
    keeps_mode = False
    """True: a pass leaves the network in its own mode, as training needs; False: a pass runs in eval mode."""

    def __init__(self, network: nn.Module, stage: str | None = None, stride: int | None = None) -> None:
        stages = OWN if stage in (None, OUTPUT) else stage  # OWN: the network's single map
        # any name is taken as known here; `_map_from` refuses those that the network's output lacks
        super().__init__(stages, known=stages.split("+"), network_name=type(network).__name__)
        self.network = network
        self.training = False  # not by `eval`, as in other views, which would set the user's own network too
        self.multiple = getattr(network, "multiple", patch_of(network) or 1)
        self.takes_clips = hasattr(network, "tubelet_size")  # a video network; an image is then a clip of one frame
        own_stride = stated_stride(network) if stages == OWN else None  # of several maps it may be another map's
        # measured by a pass of this view itself
        self.set_stride(own_stride or measured_stride(view=self, function=self), stride)

    def map_of(self, images: Tensor) -> Tensor:
        """Return the map of the stage in the network's output; tokens become a map.

        Raises:
            ValueError: if the output has several maps and no stage is chosen, or lacks the chosen map.
        """
        return self._map_from(self.network, images)

    def exemplar(self, crops: Tensor) -> Tensor:
        """Return the map of SiamFC's exemplars, by the network's method `exemplar` if it has one, else by its call."""
        return self._map_from(getattr(self.network, "exemplar", self.network), self.prepared(crops))

    def _map_from(self, function: Callable[[Tensor], Any], images: Tensor) -> Tensor:
        """Return the map of the stage in the output of a function of prepared images: the network or its method."""
        batch = images[:, :, None] if self.takes_clips else images  # a clip of one frame
        with nullcontext() if self.keeps_mode else eval_mode(self.network):
            output = function(batch)
        maps = maps_in(self.network, output, images.shape[2:])
        if self.stage != OWN:
            self.require_stages(maps)
            self.require_one_stride(maps, images.shape[2])
            return self.joined(maps)
        if len(maps) > 1 and OUTPUT not in maps:
            shapes = ", ".join(f"{name} {tuple(each.shape)}" for name, each in maps.items())
            raise NoSuchMap(f"{self.network_name}: gives several maps, choose one as stage: {shapes}")
        # the map called "features", else the only map; without any the output as it is, which `require_map` refuses
        return maps.get(OUTPUT, next(iter(maps.values()), output))


def maps_in(network: object, output: Any, size: Sequence[int]) -> dict[str, Any]:
    """Return name → map, for the maps in an output; tokens become maps.

    A dictionary's maps have its keys as names; a list's maps the names in timm's `feature_info`, else their indices.
    Members that are no maps are left out. A single output is returned under the name `OUTPUT`, even if it is no map.

    Args:
        network: the network, whose attributes tell the side of its patches and the names of its maps.
        output: what the network's call returned.
        size: height and width of the images, pixels.

    Example:
        >>> fine, coarse = torch.zeros(1, 8, 6, 6), torch.zeros(1, 16, 3, 3)
        >>> list(maps_in(nn.Identity(), {"fine": fine, "coarse": coarse, "pooled": coarse.mean((2, 3))}, (24, 24)))
        ['fine', 'coarse']
        >>> list(maps_in(nn.Identity(), [fine, coarse], (24, 24))), list(maps_in(nn.Identity(), fine, (24, 24)))
        (['0', '1'], ['features'])
        >>> network = nn.Identity()
        >>> network.patch_size, network.prefix_tokens = 8, 0
        >>> maps_in(network, torch.arange(10.0).view(1, 10, 1), (24, 24))["features"][0, 0, 0]  # the last is of no cell
        tensor([0., 1., 2.])
    """
    patch = patch_of(network)
    prefix = getattr(network, "prefix_tokens", None)
    output = getattr(output, "last_hidden_state", output)  # of a Hugging Face model
    if isinstance(output, Mapping):
        members = dict(output)
    elif isinstance(output, list | tuple):
        info: Any = getattr(network, "feature_info", None)  # timm's networks made with features_only have names in it
        names = info.module_name() if hasattr(info, "module_name") else range(len(output))
        members = dict(zip(names, output, strict=False))
    else:
        return {OUTPUT: map_of_tokens(output, patch, size, prefix)}
    maps: dict[str, Any] = {}
    for name, member in members.items():
        read = map_of_tokens(member, patch, size, prefix)
        if is_map(read):
            maps[str(name)] = read
    return maps


def probe_size(multiple: int, sides: tuple[int, int] = PROBE) -> tuple[int, int]:
    """Return height and width of a probe's image: `sides`, rounded up to multiples of `multiple`.

    Example:
        >>> probe_size(1), probe_size(14)
        ((256, 320), (266, 322))
    """
    height, width = sides
    return height + -height % multiple, width + -width % multiple


def measured_stride(view: View, function: Callable[[Tensor], Any]) -> int:
    """Return the stride of a network, measured on its map of a blank image, pixels per cell.

    Args:
        view: a view of the network; `function` may be this view. Its name, device and `multiple` are read.
        function: maps an image `(1, 3, H, W)` to its map `(1, C, h, w)`.

    Raises:
        ValueError: if the network fails on this image, for example because it takes another size only, or the output is
            not a map of at least 4 × 4 cells of its stride.

    Example:
        >>> view = MapExtractor(nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.MaxPool2d(2)))
        >>> measured_stride(view, view)
        4
    """
    height, width = probe_size(view.multiple)
    blank = torch.zeros(1, 3, height, width, device=device_of(view))
    try:
        with eval_mode(view), random_state_kept():
            output = features_by(function, blank)
    except NoSuchMap:  # says already what is wrong
        raise
    except Exception as error:  # of a user's code
        said = message_of(error) or type(error).__name__
        raise ValueError(
            f"{view.network_name}: no map of a blank image of {height} x {width}, to measure its stride (if it takes "
            "clips: give vidcorr.backbones.Clips(network); if only images of its own size: give a network that takes "
            f"others, or a wrapper that resizes images or interpolates positions): {said}"
        ) from error
    features = require_map(output, view.network_name)
    stride = max(round(height / features.shape[2]), 1)
    require_stride(features, view.network_name, stride, (height, width))
    check_map(features, view.network_name)
    return stride


def check_map(features: Tensor, name: str) -> None:
    """Refuse a map that is too coarse to distinguish positions.

    Args:
        features: `(…, h, w)`.
        name: name of the network, for the message.

    Raises:
        ValueError: if the map has fewer than 4 × 4 cells.

    Example:
        >>> check_map(torch.zeros(1, 8, 4, 4), "Net")
        >>> check_map(torch.zeros(1, 8, 2, 2), "Net")
        Traceback (most recent call last):
            ...
        ValueError: Net: 2 x 2 cells, too few to distinguish positions: take a finer stage
    """
    height, width = features.shape[-2:]
    if min(height, width) < MIN_CELLS:
        raise ValueError(f"{name}: {height} x {width} cells, too few to distinguish positions: take a finer stage")


def is_map(output: Any) -> bool:
    """Return whether an output is a tensor `(N, C, h, w)` of real numbers.

    Example:
        >>> is_map(torch.zeros(1, 8, 7, 10)), is_map(torch.zeros(1, 70, 8)), is_map([torch.zeros(1, 8, 7, 10)])
        (True, False, False)
        >>> is_map(torch.zeros(1, 8, 7, 10, dtype=torch.complex64))
        False
    """
    return isinstance(output, Tensor) and output.ndim == 4 and not output.is_complex()


def form_of(output: Any) -> str:
    """Return the shape and type of an output, for messages.

    Example:
        >>> form_of(torch.zeros(1, 8)), form_of([torch.zeros(1, 8)])
        ('(1, 8) of torch.float32', 'list')
    """
    return f"{tuple(output.shape)} of {output.dtype}" if isinstance(output, Tensor) else type(output).__name__


def require_map(output: Any, name: str) -> Tensor:
    """Return an output of a network, if it is a map.

    Args:
        output: the output.
        name: name of the network, for the message.

    Raises:
        ValueError: for anything but a tensor `(N, C, h, w)` of real numbers.

    Example:
        >>> features = torch.zeros(1, 8, 7, 10)
        >>> require_map(features, "Net") is features
        True
        >>> require_map(features.flatten(2), "Net")
        Traceback (most recent call last):
            ...
        vidcorr.backbones.extractor.NoSuchMap: Net: expected a map (N, C, h, w), got (1, 8, 70) of torch.float32: ...
    """
    if not is_map(output):
        raise NoSuchMap(
            f"{name}: expected a map (N, C, h, w), got {form_of(output)}: leave pooling and classifier out, or "
            f"{OWN_METHOD}; tokens become a map by an attribute patch_size of the network, or as in docs/extend.md, "
            "section 'A network of tokens'"
        )
    return output


def require_stride(features: Tensor, name: str, stride: int, size: tuple[int, int]) -> None:
    """Refuse a map that has not as many cells as its stride gives: its cells would lie elsewhere than the stride says.

    Args:
        features: `(N, C, h, w)`.
        name: name of the network, for the message.
        stride: pixels per cell.
        size: height and width of the image, pixels.

    Raises:
        ValueError: naming both sizes.
    """
    for count, side in zip(features.shape[2:], size, strict=True):
        if count not in (side // stride, -(-side // stride)):  # a last incomplete cell may be dropped or kept
            given = f"{tuple(features.shape)} of a {size[0]} x {size[1]} image"
            remedy = "cut its padding, pad its convolutions, or .permute(0, 3, 1, 2) a map of channels last"
            raise ValueError(f"{name}: its map {given} has not the cells of stride {stride}: {remedy}")
