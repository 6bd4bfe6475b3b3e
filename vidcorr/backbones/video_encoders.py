"""Video encoders: frames in, a feature map per frame out, with clips or a state inside; V-JEPA 2 by name.

A call of `encode` processes a whole video.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..description import IMAGENET_MEAN, IMAGENET_STD, Input
from ..functional.device import to_device
from ..functional.position import resized_position
from ..videos.files import require_one_of
from .extractor import NoSuchMap, View, attribute_set, eval_mode, modules_inside, normalised
from .hub_models import image_model, one_line_errors
from .outputs import form_of, map_of_tokens, patch_of, stated_stride

Upsampling = Literal["trilinear", "cubic"]
Layout = Literal["CTHW", "TCHW"]


class VideoEncoder(View):
    """Base of views that map the frames of a video, in order, to feature maps; protocols do not change them.

    A subclass defines `encode`. It sets `stride`, or leaves None: the stride is then measured on a frame.
    """

    normalises = False
    in_order = True

    def __init__(self) -> None:
        super().__init__()
        self.network_name = type(self).__name__

    @abstractmethod
    def encode(self, frames: Iterator[Tensor]) -> Iterator[Any]:
        """Yield a map `(C, h, w)` for each of the frames, which are float RGB `(3, H, W)` in [0, 1]."""


class Clips(VideoEncoder):
    """Video encoder over a network of clips, in consecutive windows of a fixed length.

    The last window is padded with zeros after the normalisation, and the maps of the padding are dropped. Within a
    window, the network's maps of tubelets are up-sampled in time to a map per frame, so the features of a frame depend
    on later frames of the window. Memory holds a single window.

    RVM's notebook evaluates VideoMAE, VideoMAE v2 and V-JEPA by the defaults, V-JEPA 2 by the layout "TCHW", and 4DS by
    "cubic" and no mean. Features are the output of the last block after the final norm (VideoMAE v2: `fc_norm` on all
    tokens; V-JEPA: the target encoder; V-JEPA 2: without the predictor); for 4DS the input of the last block, without a
    norm.
    Source: google-deepmind/representations4d @ 75aca30, `rvm_evaluation_demo.ipynb`, cells 29-57 and 109-111.

    Args:
        net: callable that maps a clip, float32 `(1, 3, window, H, W)` or, by `layout`, `(1, window, 3, H, W)`, to maps
            `(1, C, window / tubelet, h, w)`: a tensor, or an array of numpy or of a library with DLPack. A network with
            an attribute `patch_size` may return tokens `(1, cells, C)`, as V-JEPA 2.1 does.
        window: frames of a clip.
        tubelet: frames per map of the network; it must divide `window`.
        upsampling: in time. "trilinear": as in torch; "cubic": Keys' kernel with a = −0.5, its weights within the
            window scaled to a sum of 1, as in `jax.image.resize`.
        layout: order of the network's axes.
        mean: mean of RGB in [0, 1] to subtract first; None: no normalisation.
        std: standard deviation of RGB in [0, 1] to divide by.

    Attributes:
        stride: pixels per cell; None before the first window, unless the network states it or the side of its patches.
        inside: modules that `net` computes with, if it is no module itself.

    Raises:
        ValueError: for an unknown choice, or a tubelet that does not divide the window.

    Example:
        >>> encoder = Clips(nn.AvgPool3d((2, 8, 8)), window=4, tubelet=2)  # RGB itself, at 8 px a cell
        >>> maps = list(encoder.encode(iter(torch.rand(5, 3, 64, 96))))
        >>> len(maps), maps[0].shape, encoder.stride
        (5, torch.Size([3, 8, 12]), 8)
    """

    normalises = True

    def __init__(
        self,
        net: Callable[[Tensor], Any],
        window: int = 16,
        tubelet: int = 2,
        upsampling: Upsampling = "trilinear",
        layout: Layout = "CTHW",
        mean: Sequence[float] | None = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        require_one_of(get_args(Upsampling), upsampling=upsampling)
        require_one_of(get_args(Layout), layout=layout)
        if tubelet < 1 or window < 1 or window % tubelet:
            raise ValueError(f"window must be a multiple of tubelet, got {window} and {tubelet} frames")
        super().__init__()
        self.net = net
        # so that `to` and `eval` reach the network of a function
        self.inside = modules_inside(net)
        self.window = window
        self.tubelet = tubelet
        self.layout = layout
        source = "stated by Clips"
        self.input = Input(source=source) if mean is None else Input.of(mean, std, source)
        self.stride = stated_stride(net) or patch_of(net)
        self.multiple = patch_of(net) or 1
        self._weights = upsampling_weights(window // tubelet, window, upsampling)

    def encode(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        """Yield the maps `(C, h, w)` of a video's frames, float RGB `(3, H, W)` in [0, 1] of equal size, in order."""
        # one iterator for both: `islice` goes on after `first`
        frames = iter(frames)
        for first in frames:
            clip = [first, *islice(frames, self.window - 1)]
            yield from self._encode_window(torch.stack(clip))

    @torch.no_grad()
    def _encode_window(self, clip: Tensor) -> Tensor:
        """Return the maps `(T, C, h, w)` of the frames `(T, 3, H, W)` of a window."""
        frames, _, height, width = clip.shape
        if not self.input.is_unit:
            clip = normalised(clip, self.input)
        if frames < self.window:
            clip = torch.cat([clip, clip.new_zeros(self.window - frames, *clip.shape[1:])])
        if self.layout == "CTHW":
            clip = clip.transpose(0, 1)
        with eval_mode(self):
            output = self.net(clip[None])
        maps = self._maps_of(output, (height, width))
        self.stride = self.stride or round(height / maps.shape[3])
        # from maps of tubelets to maps of frames, without those that filled the window
        weights = to_device(self._weights[:frames], maps.device).to(maps.dtype)
        return torch.einsum("ts,cshw->tchw", weights, maps[0])

    def _maps_of(self, output: object, size: tuple[int, int]) -> Tensor:
        count = self.window // self.tubelet
        patch = patch_of(self.net)
        rows = 0 if patch is None else size[0] // patch
        # tokens are read as those of one image, in which the frames of the tubelets stand above each other; without a
        # patch `map_of_tokens` returns the output itself
        stacked = map_of_tokens(output, patch, (count * rows * (patch or 1), size[1]))
        if stacked is not output:
            return stacked.unflatten(2, (count, rows))
        maps = as_tensor(output)
        if maps.ndim != 5 or maps.shape[2] != count:
            raise NoSuchMap(
                f"{type(self.net).__name__}: expected maps (1, C, {count}, h, w) of a clip of {self.window} frames, "
                f"got {form_of(maps)}: tokens become maps by an attribute patch_size of the network, or as in "
                "docs/extend.md, section 'A network of tokens'"
            )
        return maps


class Recurrent(VideoEncoder):
    """Video encoder over a recurrent network, with a new state for every video.

    Args:
        step: callable that maps a frame, float RGB `(3, H, W)` in [0, 1], and the state (None for the first frame) to
            the frame's map `(C, h, w)` and the next state. The map is a tensor, or an array of numpy or of a library
            with DLPack.

    Attributes:
        stride: pixels per cell; None before the first frame, unless the network states it.
    """

    def __init__(self, step: Callable[[Tensor, Any], tuple[Any, Any]]) -> None:
        super().__init__()
        self.step = step
        # so that `to` and `eval` reach the network of a function
        self.inside = modules_inside(step)
        self.stride = stated_stride(step)

    def encode(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        """Yield the maps `(C, h, w)` of a video's frames, float RGB `(3, H, W)` in [0, 1] of equal size, in order."""
        state = None
        for frame in frames:
            with torch.no_grad(), eval_mode(self):
                output, state = self.step(frame, state)
            features = as_tensor(output)
            self.stride = self.stride or round(frame.shape[1] / features.shape[1])
            yield features


def upsampling_weights(inputs: int, outputs: int, rule: Upsampling) -> Tensor:
    """Return the matrix `(outputs, inputs)` that up-samples along an axis; each row has the sum 1.

    Args:
        rule: "trilinear": as in torch; "cubic": Keys' kernel with a = −0.5.
    """
    # up-sampling the rows of an identity matrix gives the weights; the number of columns stays
    unit = torch.eye(inputs, dtype=torch.float64)[None, None]
    size = (outputs, inputs)
    if rule == "trilinear":
        return interpolate(unit, size, mode="bilinear")[0, 0].float()
    # antialiasing changes nothing in up-sampling, but torch then takes a = −0.5 in place of −0.75
    return interpolate(unit, size, mode="bicubic", antialias=True)[0, 0].float()


def as_tensor(array: object) -> Tensor:
    """Return a tensor as it is, and an array of numpy or of a library with DLPack (for example JAX) as a new tensor."""
    return array if isinstance(array, Tensor) else torch.asarray(array, copy=True)  # numpy's may be read-only


def from_transformers(name: str) -> Any:
    """Load a model of the library `transformers` (an extra): `Clips` around a model of clips, else the image model.

    Weights come from safetensors only, and no code of the hub runs. Windows of V-JEPA 2 have 16 frames, as in RVM's
    notebook, although it was trained on 64; windows of VideoMAE have the number of frames in its configuration.

    Args:
        name: name on the hub, or path of a folder with config.json and model.safetensors.

    Raises:
        ValueError: for a model that cannot be loaded.
    """
    how = "" if Path(name).is_dir() else f"hf download {name} --local-dir FOLDER, then FOLDER"
    with one_line_errors(f"backbone transformers:{name}: cannot be loaded", how):
        model: Any = image_model(name)
    if getattr(model.config, "interpolate_rope", False):
        raise ValueError(f"{name}: is V-JEPA 2.1: give a function that returns torch.hub's network")
    config = model.config
    if config.model_type not in VIDEO_MODELS:
        return model
    network = VIDEO_MODELS[config.model_type](model.eval())
    # what `image_model` read from the model's processor
    record = getattr(model, "pretrained_cfg", {"mean": IMAGENET_MEAN, "std": IMAGENET_STD})
    # VideoMAE's positions are of one length
    window = getattr(config, "num_frames", 16)
    return Clips(network, window, config.tubelet_size, layout="TCHW", mean=record["mean"], std=record["std"])


class VideoMae(nn.Module):
    """VideoMAE's encoder (`VideoMAEModel`): maps `(1, T, 3, H, W)` to `(1, C, T / tubelet, h, w)`, T as in training.

    For another size than the trained one its fixed positions are resized, bicubically along rows and columns.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.stride = int(model.config.patch_size)

    def forward(self, clip: Tensor) -> Tensor:
        """Return the maps of the tubelets: `(1, T, 3, H, W)` → `(1, C, T / tubelet, h, w)`."""
        size = (clip.shape[3] // self.stride, clip.shape[4] // self.stride)
        embeddings = self.model.embeddings
        # rows and columns of the trained positions
        rows, columns = (side // self.stride for side in embeddings.patch_embeddings.image_size)
        # the positions as maps: tubelets x C x rows x columns
        places = embeddings.position_embeddings[0].unflatten(0, (-1, rows, columns)).movedim(-1, 1)
        resized = torch.stack([resized_position(of_tubelet, size) for of_tubelet in places])
        positions = resized.movedim(1, -1).flatten(0, 2)[None]
        # transformers compares the frames with the trained size, and adds the trained positions
        with (
            attribute_set(embeddings, "position_embeddings", positions),
            attribute_set(embeddings.patch_embeddings, "image_size", tuple(clip.shape[3:])),
        ):
            tokens = self.model(pixel_values=clip).last_hidden_state
        return tokens.unflatten(1, (-1, *size)).permute(0, 4, 1, 2, 3)


class VJepa2(VideoMae):
    """V-JEPA 2's encoder (`VJEPA2Model`), without its predictor: `(1, T, 3, H, W)` to `(1, C, T / tubelet, h, w)`.

    The library numbers positions by the trained grid: at another size it mixes rows, columns and time, without an
    error. Here the positions of the map's rows and columns are spread evenly over the trained grid.
    Source: google-deepmind/representations4d, `rvm_evaluation_demo.ipynb`, cells 56 and 57.
    """

    map_size: tuple[int, int]
    """Rows and columns of the map of the clip that `forward` got last."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        for layer in model.encoder.layer:
            layer.attention.get_position_ids = self.position_ids

    def forward(self, clip: Tensor) -> Tensor:
        """Return the maps of the tubelets: `(1, T, 3, H, W)` → `(1, C, T / tubelet, h, w)`."""
        # `position_ids` reads the size within the call below
        self.map_size = (clip.shape[3] // self.stride, clip.shape[4] // self.stride)
        tokens = self.model(pixel_values_videos=clip, skip_predictor=True).last_hidden_state
        return tokens.unflatten(1, (-1, *self.map_size)).permute(0, 4, 1, 2, 3)

    def position_ids(self, x: Tensor, masks: object = None) -> tuple[Tensor, ...]:
        """Return time, row and column of all tokens of `x` `(N, tokens, C)`; it replaces the library's method.

        `x` is of clips of the size that `forward` got last; only its number of tokens counts.
        """
        height, width = self.map_size
        grid = self.model.encoder.layer[0].attention.grid_size
        tubelets = x.shape[1] // (height * width)
        rows = _places_on_grid(grid, height, x.device)
        columns = _places_on_grid(grid, width, x.device)
        time = torch.arange(tubelets, device=x.device, dtype=rows.dtype)
        return torch.cartesian_prod(time, rows, columns).unbind(1)


def _places_on_grid(grid: int, cells: int, device: torch.device) -> Tensor:
    """Return the positions of `cells` cells along an axis of the trained grid, as bilinear resizing of 0 … grid − 1."""
    places = (torch.arange(cells, device=device, dtype=torch.float32) + 0.5) * grid / cells - 0.5
    return places.clamp(0, grid - 1)


VIDEO_MODELS: dict[str, Callable[[Any], nn.Module]] = {"vjepa2": VJepa2, "videomae": VideoMae}
