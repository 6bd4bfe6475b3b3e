"""A user's own module over features: an up-sampler, a projection, any head."""

import torch
from torch import Tensor, nn

from .extractor import FeatureExtractor, WrappedExtractor, check_map
from .map_extractor import PROBE
from .networks import LIBRARIES, imported, shared_copy


def build_head(spec: str) -> nn.Module:
    """Build a head over features.

    Args:
        spec: `package.module:callable`, called without arguments. It gives a module that maps features `(N, C, h, w)`
            and the images they are of, float RGB `(N, 3, H, W)` in [0, 1], to features `(N, C', h', w')`.

    Raises:
        ValueError: if it cannot be imported or gives no module.
    """
    module, separator, name = spec.partition(":")
    if not separator or module in LIBRARIES:
        raise ValueError(f"head {spec!r}: write package.module:callable")
    return imported(module, name)


class HeadExtractor(WrappedExtractor):
    """A view of an encoder with a head over each of its maps; it shares the weights of both.

    Args:
        inner: the view of the encoder.
        head: result of `build_head`.

    Raises:
        ValueError: if the head's output is not a map of at least 4 × 4 cells with one stride in both directions.
    """

    def __init__(self, inner: FeatureExtractor, head: nn.Module) -> None:
        super().__init__(inner, inner.stage)
        self.head = shared_copy(head)
        self.eval()
        parameter = next(self.parameters(), torch.zeros(()))
        with torch.inference_mode():
            outputs = self.maps(torch.zeros(1, 3, *PROBE, device=parameter.device))
        strides = []
        for output in outputs:
            kind = f"head {type(head).__name__}"
            if not isinstance(output, Tensor) or output.ndim != 4:
                raise ValueError(f"{kind}: expected features (N, C, h, w)")
            check_map(output, PROBE, kind)
            found = {max(round(side / cells), 1) for side, cells in zip(PROBE, output.shape[2:], strict=True)}
            if len(found) > 1:
                raise ValueError(f"{kind}: its map of {tuple(output.shape[2:])} cells has two strides, {sorted(found)}")
            strides.append(found.pop())
        self.stride = self._in_form_of_stage(strides)

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the head's map of each stage."""
        return [self.head(one, images) for one in self.inner.maps(images)]
