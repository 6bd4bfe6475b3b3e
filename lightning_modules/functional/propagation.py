"""Label propagation: the labels of a video's first frame carried through the video by feature similarity."""

from collections.abc import Iterable, Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from .protocol import PropagationProtocol


class LabelPropagator:
    """One frame in, its labels out: keeps the features and labels of the reference frames and nothing else."""

    def __init__(self, first_labels: Tensor, protocol: PropagationProtocol) -> None:
        if first_labels.ndim != 3 or not first_labels.is_floating_point():
            raise ValueError(
                f"first_labels must be (L, h, w) float, got {tuple(first_labels.shape)} {first_labels.dtype}"
            )
        if not 1 <= len(first_labels) <= 255:
            raise ValueError(f"first_labels must have 1 to 255 channels, got {len(first_labels)}")
        self.protocol = protocol
        self.first_labels = first_labels
        self.frame = 0
        self._lag = max(protocol.context, *(-r for r in protocol.references or (0,)), 0)
        self._memory: dict[int, tuple[Tensor, Tensor]] = {}

    def step(self, features: Tensor, entering: Tensor | None = None) -> Tensor:
        features = features.float()
        if self.protocol.feature_normalisation == "l2":
            features = F.normalize(features, dim=0, eps=1e-12)
        if self.frame == 0:
            labels = self.first_labels.to(features.device, torch.float32)
        else:
            labels = self._propagate(features)
        if entering is not None:
            entering = entering.to(labels)
            starts = entering.flatten(1).amax(1)[:, None, None] > 0
            labels = torch.where(starts, entering, labels * (1 - entering.sum(0).clamp(0, 1)))
        self._memory[self.frame] = (features, labels)
        self.frame += 1
        needed = {frame for frame, _ in self._references(self.frame)}
        keep = needed | {0} | {f for f in range(max(0, self.frame - 1 - self._lag), self.frame)}
        self._memory = {f: m for f, m in self._memory.items() if f in keep | set(self.protocol.references or ())}
        return labels

    def _references(self, frame: int) -> list[tuple[int, bool]]:
        protocol = self.protocol
        if protocol.references is not None:
            chosen = {r if r >= 0 else frame + r for r in protocol.references}
            return [(f, True) for f in sorted(chosen) if 0 <= f < frame]
        window = range(frame - protocol.context, frame)
        if protocol.repeat_first == "never":
            recent = [f for f in window if f > 0]
        elif protocol.repeat_first == "padding":
            recent = [max(f, 0) for f in window]
        else:
            recent = [f for f in window if f >= 0]
        return [(0, protocol.first_frame_masked)] + [(f, True) for f in recent]

    def _propagate(self, query: Tensor) -> Tensor:
        p = self.protocol
        references = self._references(self.frame)
        keys = torch.stack([self._memory[f][0] for f, _ in references]).flatten(2)  # R, C, hw
        values = torch.stack([self._memory[f][1] for f, _ in references]).flatten(2)  # R, L, hw
        C, h, w = query.shape
        y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        y, x = y.flatten().to(query.device), x.flatten().to(query.device)
        out = []
        for block in torch.arange(h * w, device=query.device).split(256):
            logits = torch.einsum("rck,cq->qrk", keys, query.flatten(1)[:, block]) / p.temperature
            if p.radius is not None:
                dy, dx = (y[block, None] - y).abs(), (x[block, None] - x).abs()
                inside = (
                    dy**2 + dx**2 < p.radius**2 if p.neighbourhood == "circle" else (dy <= p.radius) & (dx <= p.radius)
                )
                for r, (_, masked) in enumerate(references):
                    if masked:
                        logits[:, r].masked_fill_(~inside, float("-inf"))
            logits = logits.flatten(1)
            flat = values.transpose(0, 1).flatten(1)  # L, R*hw
            if p.topk is None:
                out.append((logits.softmax(1) @ flat.T).T)
                continue
            top, index = logits.topk(min(p.topk, logits.shape[1]), dim=1)
            out.append((flat[:, index] * top.softmax(1)).sum(2))
        return torch.cat(out, 1).unflatten(1, (h, w))


def propagate_labels(
    features: Tensor | Iterable[Tensor],
    first_labels: Tensor,
    protocol: PropagationProtocol,
    entering: Mapping[int, Tensor] | None = None,
) -> Iterator[Tensor]:
    """Propagate."""
    propagator = LabelPropagator(first_labels, protocol)
    for frame, item in enumerate(features):
        yield propagator.step(item, (entering or {}).get(frame))
