"""Tensor work against the plain ways: a DAVIS frame, propagation, reconstruction, InfoNCE, Liir's negatives, points."""

import copy
import math
from collections.abc import Iterator

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import v2

from tests.helpers.plain_davis import plain_davis
from tests.helpers.plain_info_nce import plain_info_nce
from tests.helpers.plain_propagation import dense_attention, dense_mask
from tests.helpers.references import real_data
from tests.speed.timing import DEVICE, least, row
from vidcorr.backbones import build_feature_extractor, load
from vidcorr.datasets import Davis
from vidcorr.description import IMAGENET_MEAN, IMAGENET_STD
from vidcorr.functional import LabelPropagator, decode_masks, encode_masks, info_nce_loss, track_points
from vidcorr.functional.local_reconstruction import reconstruct_locally
from vidcorr.functional.negatives import drawn_cells, per_query_logsumexp
from vidcorr.functional.propagation.comparison import comparison
from vidcorr.metrics import boundary_score, jaccard, object_outlines
from vidcorr.protocols import PointProtocol, PropagationProtocol
from vidcorr.tracking.frame_encoder import FrameEncoder, adapted

named = PropagationProtocol.named
PART = 0.01
"""Fraction of the queries that the dense method does; its time is scaled to all."""


def video(frames: int, channels: int, size: tuple[int, int], device: str = "cpu") -> Tensor:
    """Smooth random features that change a little from frame to frame, as those of a video do."""
    generator = torch.Generator().manual_seed(0)
    still = F.avg_pool2d(torch.randn(1, channels, *size, generator=generator), 3, 1, 1) * 3
    return (still + torch.randn(frames, channels, *size, generator=generator) * 0.5).to(device)


def time_step(
    features: Tensor, first_labels: Tensor, protocol: PropagationProtocol, rounds: int
) -> tuple[dict[str, float], Tensor]:
    """Time the first step whose window is full: the last of context + 2 frames.

    Args:
        features: `(context + 2, C, h, w)`.
        first_labels: `(L, h, w)`.
        protocol: of propagation.
        rounds: of both ways.

    Returns:
        The seconds, `plain` of the dense method, which gets its matrices ready-made; labels `(L, h, w)`.
    """
    height, width = features.shape[2:]
    propagator = LabelPropagator(first_labels, protocol)
    history = [propagator.step(frame) for frame in features[:-1]]
    copies: list[LabelPropagator] = []  # a step changes what it finds
    places = max(1, round(PART * height * width))
    compared = comparison(features[0], protocol)
    query = compared(features[-1]).flatten(0, 1)[:places].T
    keys = torch.stack([compared(frame) for frame in features[:-1]]).flatten(0, 2).T
    values = torch.stack(history).transpose(0, 1).flatten(1)
    radius = protocol.radius_in_cells((height, width)) or max(height, width)
    mask = dense_mask(height, width, radius, protocol.neighbourhood, places).to(features.device)

    def dense() -> Tensor:
        return dense_attention(query, keys, values, mask, protocol.topk, protocol.temperature)

    def prepare() -> None:
        copies[:] = [copy.deepcopy(propagator)]

    def step() -> Tensor:
        return copies.pop().step(features[-1])

    times = least({"plain": dense, "vidcorr": step}, rounds, prepare)
    times["plain"] *= height * width / places
    prepare()
    labels = step()
    errors = (labels.flatten(1)[:, :places] - dense()).abs().amax(0)
    assert (errors <= 1e-5).float().mean() >= 0.98, "the labels differ"
    return times, labels


def step_of(context: int, radius: int) -> PropagationProtocol:
    """Return a protocol of the ten best matches."""
    return PropagationProtocol(name="speed", context=context, topk=10, temperature=0.07, radius=radius)


def propagation(rounds: int, sizes: tuple[tuple[int, ...], ...] = ((60, 107, 256, 20, 12),)) -> Iterator[str]:
    """Compare a step of propagation with dense attention, by height, width, channels, context and radius."""
    for height, width, channels, context, radius in sizes:
        labels = torch.rand(3, height, width).softmax(0).to(DEVICE)
        features = video(context + 2, channels, (height, width), DEVICE)
        times, _ = time_step(features, labels, step_of(context, radius), rounds)
        what = f"propagation, {height} × {width}, C {channels}, {context + 1} references, radius {radius}"
        yield row(what, times["plain"], times["vidcorr"])


def propagation_scale(rounds: int) -> Iterator[str]:
    """Compare propagation over the size of the map, channels, references and radius."""
    sizes = [(h, w, 256, 20, 12) for h, w in ((30, 54), (85, 151), (120, 214))]
    others = [(60, 107, *rest) for rest in ((64, 20, 12), (512, 20, 12), (256, 5, 12), (256, 20, 6), (256, 20, 18))]
    yield from propagation(rounds, (*sizes, *others))


@torch.inference_mode()
def trained_propagation(rounds: int) -> Iterator[str]:
    """Compare a step of propagation with trained features of a real video, which rule out fewer keys."""
    sequence = Davis(real_data("davis"))[0]
    for name in ("vidcorr-fast", "vidcorr"):
        encoder = FrameEncoder(load("vidcorr-r18").view(placed=True, of_protocol=named(name).features), named(name))
        protocol = encoder.protocol
        frames = (sequence.frame(t) for t in range(protocol.context + 2))
        features = torch.stack(list(encoder.maps(frames)))
        first = encode_masks(sequence.read_mask(0), sequence.objects, features.shape[2:], protocol)
        times, _ = time_step(features, first, protocol, rounds)
        channels, height, width = features.shape[1:]
        what = f"propagation, vidcorr-r18 under {name}, {height} × {width}, C {channels}"
        yield row(what, times["plain"], times["vidcorr"])


def plain_boundary_score(prediction: NDArray[np.bool_], target: NDArray[np.bool_]) -> float:
    """Compute F over the whole picture as davis2017-evaluation does."""
    radius = math.ceil(0.008 * np.linalg.norm(target.shape))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x * x + y * y <= radius * radius).astype(np.uint8)
    edges = []
    for mask in (prediction, target):
        padded = np.pad(mask, (0, 1), mode="edge")
        edges.append(mask ^ padded[:-1, 1:] | mask ^ padded[1:, :-1] | mask ^ padded[1:, 1:])
    found, wanted = edges
    near_found, near_wanted = (cv2.dilate(edge.astype(np.uint8), disk) for edge in edges)
    precision, recall = np.sum(found * near_wanted) / np.sum(found), np.sum(wanted * near_found) / np.sum(wanted)
    return float(2 * precision * recall / (precision + recall))


@torch.inference_mode()
def davis_frame(rounds: int) -> list[str]:
    """Compare one real frame under `vfs` by stages: the first whose window of references is full."""
    torch.manual_seed(0)
    plain, protocol, sequence = plain_davis("vfs"), named("vfs"), Davis(real_data("davis"))[0]
    extractor = build_feature_extractor("torchvision:resnet18")
    view, last = adapted(extractor, protocol), protocol.context + 1
    network = copy.deepcopy(extractor).to(memory_format=torch.contiguous_format)
    network.normalise = v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)  # memory left as it is
    images = [sequence.frame(t)[None].float() / 255 for t in range(last + 1)]
    features = torch.cat([view(image) for image in images])
    first = encode_masks(sequence.read_mask(0), sequence.objects, features.shape[2:], protocol)
    times, labels = time_step(features, first, protocol, rounds)

    def decode() -> Tensor:
        return decode_masks(labels, sequence.objects, protocol, sequence.size)

    prediction, target = decode(), sequence.read_mask(last)

    def score() -> list[tuple[float, float]]:
        found, wanted = (object_outlines(mask, sequence.objects) for mask in (prediction, target))
        pairs = zip(found.values(), wanted.values(), strict=True)
        return [(jaccard(*pair), boundary_score(*pair)) for pair in pairs]

    def plain_score() -> list[tuple[float, float]]:
        pairs = [((prediction == i).numpy(), (target == i).numpy()) for i in sequence.objects]
        return [(plain.region_similarity(*pair), plain_boundary_score(*pair)) for pair in pairs]

    assert score() == plain_score(), "the scores differ"
    backbone = {"plain": lambda: network(images[last]), "vidcorr": lambda: view(images[last])}
    decoding = {"plain": lambda: plain.decode(labels, sequence.size, plain.PROTOCOL), "vidcorr": decode}
    stages = {"backbone": least(backbone, rounds), "propagate": times, "decode masks": least(decoding, rounds)}
    stages["score"] = least({"plain": plain_score, "vidcorr": score}, rounds)
    stages["sum"] = {name: sum(stage[name] for stage in stages.values()) for name in times}
    name = "DAVIS frame at 480p, untrained ResNet-18"
    return [row(f"{name}, {stage}", *seconds.values()) for stage, seconds in stages.items()]


def by_shifts(query: Tensor, references: Tensor, values: Tensor, radius: int) -> Tensor:
    """Reconstruct by one product of whole maps for each offset."""
    height, width = query.shape[2:]
    padded, colours = (F.pad(maps, (radius,) * 4) for maps in (references, values))
    inside = F.pad(torch.ones_like(query[:1, :1], dtype=torch.bool), (radius,) * 4)
    offsets = [(y, x) for y in range(2 * radius + 1) for x in range(2 * radius + 1)]
    logits = []
    for y, x in offsets:
        product = (query[:, None] * padded[..., y : y + height, x : x + width]).sum(2)
        logits.append(product.masked_fill(~inside[..., y : y + height, x : x + width], -torch.inf))
    weights = torch.stack(logits, 2).flatten(1, 2).softmax(1).unflatten(1, (-1, len(offsets)))
    windows = (colours[..., y : y + height, x : x + width] for y, x in offsets)
    return sum(weights[:, :, n, None] * window for n, window in enumerate(windows)).sum(1)


def reconstruction(rounds: int) -> list[str]:
    """Compare Liir's reconstruction, forward and backward."""
    query = torch.randn(2, 64, 64, 64, device=DEVICE).div_(2).requires_grad_()
    references = torch.randn(2, 3, 64, 64, 64, device=DEVICE).div_(2).requires_grad_()
    colours = torch.rand(2, 3, 1, 64, 64, device=DEVICE)
    upstream = torch.randn(2, 1, 64, 64, device=DEVICE)

    def gradients(form) -> tuple[Tensor, ...]:
        return torch.autograd.grad(form(query, references, colours, 6), (query, references), upstream)

    ways = {
        "plain": lambda: gradients(by_shifts),
        "vidcorr": lambda: gradients(lambda *maps: reconstruct_locally(*maps).values),
    }
    return [row("reconstruction, forward and backward, against shifts", *least(ways, rounds).values())]


def info_nce(rounds: int) -> list[str]:
    """Compare InfoNCE, forward and backward, with the form that stores all logits."""
    predicted, target = (F.normalize(torch.randn(256, 1, 128, device=DEVICE), dim=-1) for _ in range(2))
    queue = F.normalize(torch.randn(65536, 128, device=DEVICE), dim=-1)
    predicted.requires_grad_()
    ways = {
        "plain": lambda: plain_info_nce(predicted, target, queue, 0.2).backward(),
        "vidcorr": lambda: info_nce_loss(predicted, target, queue, 0.2).backward(),
    }
    return [row("InfoNCE, K 65536, B 256, d 128", *least(ways, rounds).values())]


def negatives(rounds: int) -> list[str]:
    """Compare Liir's negatives of each query, forward and backward, with the form that stores all drawn cells."""
    query = torch.randn(4, 64, 28, 28, device=DEVICE).mul_(0.3).requires_grad_()
    features = torch.randn(1440, 28, 28, 64, device=DEVICE).bfloat16()
    places = query[0, 0].numel()
    drawn = drawn_cells(0, slice(0, len(features)), 4, places, places, DEVICE)

    def stored() -> Tensor:
        cells = features.flatten(0, 2)[drawn].float()  # (places, cells, C)
        queries = query.flatten(2).permute(2, 0, 1)  # (places, B, C)
        return torch.bmm(queries, cells.mT).logsumexp(-1)

    maps = features.movedim(3, 1)
    ways = {
        "plain": lambda: stored().sum().backward(),
        "vidcorr": lambda: per_query_logsumexp(query, maps, 4, 0).sum().backward(),
    }
    return [row("Liir's negatives, 784 places × 5760 cells, B 4, C 64, bfloat16", *least(ways, rounds).values())]


def points_growth(rounds: int) -> list[str]:
    """Compare a video of points with the cycle check with twice its half."""
    frames = 250 if DEVICE == "cuda" else 80
    features = torch.randn(frames, 64, 32, 32, device=DEVICE)
    rules = PointProtocol.named("vidcorr", "tap_vid")

    def track(number: int) -> None:
        queries = torch.stack([torch.arange(400) % number, torch.rand(400) * 256, torch.rand(400) * 256], 1)
        track_points(features.__getitem__, number, queries.double(), rules)

    times = least({"half": lambda: track(frames // 2), "whole": lambda: track(frames)}, rounds)
    what = f"400 points with the cycle check, {frames} frames, against twice {frames // 2} frames"
    return [row(what, 2 * times["half"], times["whole"])]
