"""Time and memory of one propagation step against the dense method, in one process.

python -m tests.speed.propagation                   # stride 8: 60 x 107 cells
python -m tests.speed.propagation --part 0.05       # the dense method scaled from 5 % of the queries
python -m tests.speed.propagation --scale           # over map size, channels, references, radius
python -m tests.speed.propagation --video 40        # a whole video under dino, as its plain script does it
"""

import copy

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from tests.helpers.memory import peak_of
from tests.helpers.plain_propagation import dense_attention, dense_mask, plain_propagation
from tests.speed.timing import Times, compare, flags, interleave, report
from vidcorr.functional import LabelPropagator, propagate_labels
from vidcorr.protocols import PropagationProtocol


def video(frames: int, channels: int, size: tuple[int, int], device: str) -> Tensor:
    """Smooth random features that change a little from frame to frame, as those of a video do."""
    generator = torch.Generator().manual_seed(0)
    still = avg_pool2d(torch.randn(1, channels, *size, generator=generator), 3, 1, 1) * 3
    return (still + torch.randn(frames, channels, *size, generator=generator) * 0.5).to(device)


def time_step(
    features: Tensor, first_labels: Tensor, protocol: PropagationProtocol, part: float, rounds: int
) -> tuple[dict[str, Times], str, Tensor]:
    """Time the first step whose window is full: the last of context + 2 frames.

    Args:
        features: `(context + 2, C, h, w)`.
        first_labels: `(L, h, w)`.
        protocol: of propagation.
        part: fraction of the queries that the dense method does; its times are scaled to all.
        rounds: of both ways.

    Returns:
        The times, `plain` of the dense method; how well both agree and what ours allocates; labels `(L, h, w)`.
    """
    height, width = features.shape[2:]
    propagator = LabelPropagator(first_labels, protocol)
    history = [propagator.step(frame) for frame in features[:-1]]
    copies = [copy.deepcopy(propagator) for _ in range(rounds + 3)]  # a step changes what it finds
    # The plain method gets its matrices ready-made: only attention is timed.
    places = max(1, round(part * height * width))
    query = normalize(features[-1], dim=0).flatten(1)[:, :places]
    keys = normalize(features[:-1], dim=1).transpose(0, 1).flatten(1)
    values = torch.stack(history).transpose(0, 1).flatten(1)
    radius = protocol.radius or max(height, width)
    mask = dense_mask(height, width, radius, protocol.neighbourhood, places).to(features.device)

    def dense() -> Tensor:
        return dense_attention(query, keys, values, mask, protocol.topk, protocol.temperature)

    def step() -> Tensor:
        return copies.pop().step(features[-1])

    extra = peak_of(step)
    times = interleave({"plain": dense, "vidcorr": step}, rounds)
    times["plain"] = Times([spent * height * width / places for spent in times["plain"].runs])
    labels = step()
    same = ((labels.flatten(1)[:, :places] - dense()).abs().amax(0) <= 1e-5).float().mean()
    return times, f"within 1e-5: {same:.2%}, {extra / 1e6:.0f} MB extra", labels


def time_video(frames: int, channels: int, size: tuple[int, int], device: str, rounds: int) -> None:
    """Time a video under `dino`, from features to labels, against the dense method."""
    features, protocol = video(frames, channels, size, device), PropagationProtocol.named("dino", "davis")
    labels = torch.rand(3, *size).softmax(0).to(device)

    def ours() -> Tensor:
        return torch.stack(list(propagate_labels(features, labels, protocol)))

    what = f"{frames} frames under dino, {size[0]} × {size[1]}, C {channels}"
    compare(what, {"plain": lambda: plain_propagation(features, labels, protocol)}, ours, rounds)


def main() -> None:
    parser = flags(__doc__, 5)
    parser.add_argument("--part", type=float, default=1.0, help="fraction of the queries that the dense method does")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--scale", action="store_true")
    parser.add_argument("--video", type=int, metavar="FRAMES", help="time a whole video")
    parser.add_argument("--small", action="store_true", help="tiny maps")
    given = parser.parse_args()
    if given.video:
        size, channels = ((12, 20), 8) if given.small else ((60, 107), 384)
        time_video(given.video, channels, size, given.device, given.repeats)
        return
    cases = [(12, 20, 8, 3, 3)] if given.small else [(60, 107, 256, 20, 12)]
    if given.scale and not given.small:
        cases = [(h, w, 256, 20, 12) for h, w in ((30, 54), (60, 107), (85, 151), (120, 214))]
        cases += [(60, 107, c, 20, 12) for c in (64, 512)] + [(60, 107, 256, 5, 12)]
        cases += [(60, 107, 256, 20, r) for r in (6, 18)]
    for height, width, channels, context, radius in cases:
        labels = torch.rand(3, height, width).softmax(0).to(given.device)
        protocol = PropagationProtocol("speed", context, 10, 0.07, radius)
        features = video(context + 2, channels, (height, width), given.device)
        times, agreement, _ = time_step(features, labels, protocol, given.part, given.repeats)
        print(agreement)
        report(f"propagation, {height} × {width}, C {channels}, {context + 1} references, radius {radius}", times)


if __name__ == "__main__":
    main()
