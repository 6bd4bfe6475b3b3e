"""The whole evaluation of DAVIS-2017 by label propagation in one plain file: torch, numpy, Pillow.

    python davis.py /data/DAVIS --encoder my_package.my_module:encode

`encode` maps a normalised frame (1, 3, H, W) to features (1, C, h, w) at the protocol's stride; by default the mean
colour of each block, a baseline that a trained encoder should beat. `propagate` is the method, `PROTOCOL` is all that
distinguishes one protocol from another, `evaluate` is the order of the steps. `vidcorr protocols NAME --script` prints
this file with another protocol; vidcorr computes the same in a fraction of the time and memory.
"""

import argparse
import collections
import importlib
import io
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

# Protocol dino of vidcorr, digest e27499e0ccb7.
# code: facebookresearch/dino @ 7c446df: eval_video_segmentation.py
# note: In the original code an object that vanishes from the mask at the size of the feature map is lost, if its id is
# the largest; here it keeps an empty channel. The original code scrambles the labels of square images; here labels have
# the same sides as their frames.
# The encoder sets position_embedding=dino.
PROTOCOL = {
    "rgb_mean": (0.485, 0.456, 0.406),
    "rgb_std": (0.228, 0.224, 0.225),
    "resized_data": None,
    "input_size": 480,
    "input_multiple": 64,
    "input_rounding": "floor",
    "input_filter": "opencv-linear",
    "feature_stride": 8,
    "context": 7,
    "repeat_first": "never",
    "topk": 5,
    "topk_ties": "kept",
    "temperature": 0.1,
    "radius": 12.0,
    "neighbourhood": "square",
    "first_frame_masked": True,
    "label_size": "annotation",
    "label_encoding": "nearest",
    "label_rescaling": True,
    "label_rescaling_floor": 0.0,
    "decoding_size": "input",
    "decoding_filter": "bilinear",
    "decoding_nearest": "pillow",
    "first_frame": "given",
}


def mean_colour(frame):
    """Return the mean colour of each block of `feature_stride` pixels: (1, 3, H, W) to (1, 3, h, w)."""
    return F.avg_pool2d(frame, PROTOCOL["feature_stride"], ceil_mode=True, count_include_pad=False)


def resize_like_opencv(image, size, on_floats):
    """Resize (H, W, 3) to `size` as cv2.resize does: bilinear, no smoothing; uint8 by 11-bit weights, or floats."""
    left, right, weights = neighbours_along_side(image.shape[1], size[1], on_floats)
    rows = image[:, left] * weights[0] + image[:, right] * weights[1]  # (H, new width, 3)
    above, below, weights = neighbours_along_side(image.shape[0], size[0], on_floats)
    weights = weights[..., None]
    if on_floats:
        return rows[above] * weights[0] + rows[below] * weights[1]
    rows = rows >> 4  # OpenCV drops the 22 bits of both weights in these three steps, the last one rounded
    sums = ((rows[above] * weights[0]) >> 16) + ((rows[below] * weights[1]) >> 16)
    return ((sums + 2) >> 2).clip(0, 255).astype(np.uint8)


def neighbours_along_side(old, new, on_floats):
    """Return the two of `old` pixels of a side between which each of `new` lies, and their weights (2, new, 1)."""
    centre = (np.arange(new) + 0.5) * (old / new) - 0.5
    before = np.floor(centre).astype(int)
    share = (centre - before).astype(np.float32)[:, None]
    weights = np.stack([1 - share, share])
    if not on_floats:
        weights = np.rint(weights * 2048).astype(int)  # of 11 bits
    return before.clip(0, old - 1), (before + 1).clip(0, old - 1), weights


def resize_ids(ids, size, rule):
    """Resize ids (H, W) by the nearest pixel, as Pillow, OpenCV or torch chooses it."""
    if rule == "opencv":
        rows = indices_like_opencv(ids.shape[0], size[0])
        columns = indices_like_opencv(ids.shape[1], size[1])
        return ids[rows[:, None], columns]
    if rule == "torch-exact":
        return F.interpolate(torch.tensor(ids)[None, None], size, mode="nearest-exact")[0, 0].numpy()
    return np.asarray(Image.fromarray(ids).resize(size[::-1], Image.Resampling.NEAREST))


def indices_like_opencv(old, new):
    """Return the pixel of a side of `old` pixels that each of `new` pixels takes: the one at or before its corner."""
    return np.floor(np.arange(new) * (1 / (new / old))).astype(int).clip(max=old - 1)  # as OpenCV rounds


def input_size(size, protocol):
    """Return (h, w) at which the network sees a frame (H, W); `input_size`: (h, w), shorter side, or None: H and W."""
    wanted = protocol["input_size"]
    if isinstance(wanted, tuple):
        return wanted

    def rounded(side):
        """Round a side to whole multiples, at least one."""
        multiple = protocol["input_multiple"]
        rounding = {"nearest": round, "floor": math.floor, "ceil": math.ceil}[protocol["input_rounding"]]
        return max(rounding(side / multiple), 1) * multiple

    if wanted is None:
        return rounded(Fraction(size[0])), rounded(Fraction(size[1]))
    other = rounded(Fraction(wanted * max(size), min(size)))  # exact: a float may round to another multiple
    short, long = sorted((wanted, other))  # rounded down, the other side may be the shorter one
    return (short, long) if size[0] <= size[1] else (long, short)


def read_frame(path, protocol):
    """Read a frame as a normalised tensor (1, 3, H, W), at the size that the network sees."""
    image = Image.open(path).convert("RGB")
    data_size = protocol["resized_data"]
    if data_size and data_size[::-1] != image.size:  # a copy of the data set at this size, in JPEG
        file = io.BytesIO()
        image.resize(data_size[::-1], Image.Resampling.NEAREST).save(file, "JPEG")
        image = Image.open(file)
    size = input_size(image.size[::-1], protocol)
    library, _, method = protocol["input_filter"].partition("-")  # such as opencv-linear-float, bilinear-antialias
    if size == image.size[::-1]:
        library = ""  # nothing to resize
    if library == "pillow":
        image = image.resize(size[::-1], Image.Resampling[method.upper()])
    image = np.asarray(image)
    if library == "opencv":
        on_floats = method == "linear-float"
        image = resize_like_opencv(image.astype(np.float32) / 255 if on_floats else image, size, on_floats)
    frame = torch.tensor(image).permute(2, 0, 1)[None]
    frame = frame if frame.is_floating_point() else frame.float() / 255
    if library == "bilinear":  # torch's
        frame = F.interpolate(frame, size, mode="bilinear", antialias=method == "antialias").clamp(0, 1)
    mean = torch.tensor(protocol["rgb_mean"])[:, None, None]
    std = torch.tensor(protocol["rgb_std"])[:, None, None]
    return (frame - mean) / std


def first_labels(mask, grid, protocol):
    """Bring the first annotation (H, W) to the feature grid (h, w), as one channel per id: (L, h, w)."""
    ids = torch.arange(int(mask.max()) + 1)[:, None, None]
    if protocol["label_size"] == "input":
        mask = resize_ids(mask, [cells * protocol["feature_stride"] for cells in grid], "opencv")
    if protocol["label_encoding"] == "bilinear":
        one_hot = (torch.tensor(mask) == ids).float()
        return F.interpolate(one_hot[None], grid, mode="bilinear")[0]
    rule = {"nearest": "pillow", "nearest-exact": "torch-exact"}[protocol["label_encoding"]]  # of `resize_ids`
    return (torch.tensor(resize_ids(mask, grid, rule)) == ids).float()


def propagate(query, references, labels, protocol, chunk=500):
    """Propagate the labels of the reference frames to the query frame.

    `query` (C, h, w) and `references` (R, C, h, w) are features of unit length, `labels` is (R, L, h, w). The result
    (L, h, w) is at each query cell the mean of the labels of its best matches, weighted by the softmax of their cosine
    similarity over the temperature. The first reference is frame 0. `chunk` queries at a time bound the memory.
    """
    _, h, w = query.shape
    keys = references.permute(0, 2, 3, 1).flatten(0, 2)  # (R h w, C)
    labels = labels.permute(1, 0, 2, 3).flatten(1)  # (L, R h w)
    y, x = torch.arange(h).repeat_interleave(w), torch.arange(w).repeat(h)  # y and x of each cell
    radius = math.inf if protocol["radius"] is None else protocol["radius"]
    out = []
    for cells in torch.arange(h * w).split(chunk):
        dy, dx = y[:, None] - y[cells], x[:, None] - x[cells]  # (h w, chunk)
        if protocol["neighbourhood"] == "square":
            near = (abs(dy) <= radius) & (abs(dx) <= radius)
        else:
            squared = dy**2 + dx**2
            near = squared <= radius**2 if protocol["neighbourhood"] == "disc" else squared < radius**2
        near = near.repeat(len(references), 1)
        near[: h * w] |= not protocol["first_frame_masked"]  # of frame 0, all cells unless it is masked too
        cosine = keys @ query.flatten(1)[:, cells]  # (R h w, chunk)
        cosine = cosine.masked_fill(~near, -torch.inf)
        best, index = cosine.topk(min(protocol["topk"] or len(cosine), len(cosine)), dim=0)  # no topk: all cells
        if protocol["topk_ties"] == "cut":
            weights = (best / protocol["temperature"]).softmax(0)
            out.append((labels[:, index] * weights).sum(1))
        else:
            kept = cosine.masked_fill(cosine < best[-1], -torch.inf)  # and all cells equal to the last of the best
            out.append(labels @ (kept / protocol["temperature"]).softmax(0))
    return torch.cat(out, dim=1).view(-1, h, w)


def decode(labels, size, protocol):
    """Return the mask (H, W) of soft labels (L, h, w): up-sample, rescale each channel to [0, 1], take the argmax."""
    at_input = [cells * protocol["feature_stride"] for cells in labels.shape[1:]]
    upsampled = at_input if protocol["decoding_size"] == "input" else size
    maps = F.interpolate(labels[None].float(), upsampled, mode=protocol["decoding_filter"])[0]
    floor = protocol["label_rescaling_floor"]
    rescaled = (labels.flatten(1).amax(1) > floor) & protocol["label_rescaling"]
    if floor:
        rescaled[0] &= rescaled[1:].any()  # else the background's minimum would become 0, and a trace win there
    for channel in torch.arange(len(maps))[rescaled]:  # channel 0 is the background
        low, high = maps[channel].aminmax()
        maps[channel] = (maps[channel] - low) / (high - low + 1e-12)  # no 0 / 0 in a constant channel
    return resize_ids(maps.argmax(0).byte().numpy(), size, protocol["decoding_nearest"])


def segment(frames, first_mask, encode, protocol):
    """Yield (labels, mask) of each frame; `frames` are paths, `first_mask` the annotation of the first one."""
    window = collections.deque(maxlen=protocol["context"])  # (features, labels) of the preceding frames
    for number, path in enumerate(frames):
        features = F.normalize(encode(read_frame(path, protocol))[0], dim=0)
        if number == 0:
            labels = first_labels(first_mask, features.shape[1:], protocol).to(features.dtype)
            first = (features, labels)  # a reference of every frame, besides its copies in the window
            copies = {"padding": protocol["context"], "in_window": 1, "never": 0}[protocol["repeat_first"]]
            window.extend([first] * copies)
        else:
            features_of, labels_of = zip(first, *window, strict=True)
            labels = propagate(features, torch.stack(features_of), torch.stack(labels_of), protocol)
            window.append((features, labels))
        is_given = number == 0 and protocol["first_frame"] == "given"
        yield labels, first_mask if is_given else decode(labels, first_mask.shape, protocol)


def region_similarity(prediction, target):
    """Return J, the intersection over union of two boolean masks; two empty masks score 1."""
    union = (prediction | target).sum()
    return (prediction & target).sum() / union if union else 1.0


def boundary_accuracy(prediction, target):
    """Return F, the F-measure of the two boundaries, matched within 0.008 of the image diagonal."""

    def boundary(mask):
        """Return the boundary of a mask: pixels that differ from the one to the right, below, or below right."""
        edge = np.zeros_like(mask)
        edge[:, :-1] = mask[:, :-1] ^ mask[:, 1:]
        edge[:-1] |= mask[:-1] ^ mask[1:]
        edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
        return torch.tensor(edge)

    radius = math.ceil(0.008 * math.hypot(*target.shape))
    steps = torch.arange(-radius, radius + 1)
    disk = (steps[:, None] ** 2 + steps**2 <= radius**2).float()[None, None]
    edges = torch.stack([boundary(prediction), boundary(target)])
    near = F.conv2d(edges[:, None].float(), disk, padding=radius)[:, 0] > 0.5  # the boundaries, dilated
    predicted, annotated = edges.sum((1, 2)).tolist()
    if not predicted or not annotated:
        return float(predicted == annotated)
    precision = int((edges[0] & near[1]).sum()) / predicted
    recall = int((edges[1] & near[0]).sum()) / annotated
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def read_mask(path, protocol):
    """Read the object ids (H, W) of an annotation."""
    ids = np.array(Image.open(path))
    return resize_ids(ids, protocol["resized_data"] or ids.shape, "pillow")


@torch.inference_mode()
def evaluate(root, encode, protocol=PROTOCOL, names=None):
    """Return {sequence: {object id: (J, F)}} of `names` (None: val.txt), means over inner frames; print each."""
    root = Path(root)
    scores = {}
    for name in names or (root / "ImageSets/2017/val.txt").read_text().split():
        frames = sorted((root / "JPEGImages/480p" / name).glob("*.jpg"))
        truth = [read_mask(root / "Annotations/480p" / name / f"{frame.stem}.png", protocol) for frame in frames]
        masks = [mask for _, mask in segment(frames, truth[0], encode, protocol)]
        scores[name] = {}
        for number in range(1, int(truth[0].max()) + 1):
            scores[name][number] = score_object(masks[1:-1], truth[1:-1], number)
        print(name, *(f"{j:.4f} {f:.4f}" for j, f in scores[name].values()), flush=True)
    return scores


def score_object(masks, truth, number):
    """Return the means of J and F of an object over frames."""
    region, boundary = [], []
    for mask, target in zip(masks, truth, strict=True):
        region.append(region_similarity(mask == number, target == number))
        boundary.append(boundary_accuracy(mask == number, target == number))
    return np.mean(region), np.mean(boundary)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", help="the folder that holds JPEGImages, Annotations and ImageSets")
    parser.add_argument("--encoder", help="package.module:callable; default: the mean colour of blocks")
    arguments = parser.parse_args()
    module, _, function = (arguments.encoder or f"{__name__}:mean_colour").partition(":")
    scores = evaluate(arguments.root, getattr(importlib.import_module(module), function))
    object_scores = []
    for sequence_scores in scores.values():
        object_scores += sequence_scores.values()
    region, boundary = np.mean(object_scores, axis=0)
    print(f"J&F-Mean {(region + boundary) / 2:.4f}  J-Mean {region:.4f}  F-Mean {boundary:.4f}")
