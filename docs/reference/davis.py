"""The whole evaluation of DAVIS-2017 by label propagation in one plain file: torch, numpy, Pillow.

    python davis.py /data/DAVIS --protocol dino --encoder my_package.my_module:encode

`encode` maps a normalised frame (1, 3, H, W) to features (1, C, h, w) at the protocol's stride; by default the mean
colour of each 8 x 8 block, a baseline that a trained encoder should beat. `propagate` is the method, the dictionaries
are all that distinguishes the two protocols, `evaluate` is the order of the steps. vidcorr computes the same in a
fraction of the time and memory; a test holds the two equal on frames that are not square, as all of DAVIS.
"""

import argparse
import importlib
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

VFS = {  # Xu and Wang, ICCV 2021; xvjiarui/VFS @ 8e055cc
    "context": 20,  # preceding frames that are references in addition to frame 0
    "first_in_window": True,  # frame 0 counts a second time while it is one of them
    "topk": 10,  # matches kept per query over all references together
    "ties": "cut",  # exactly topk matches, whichever of equal ones
    "temperature": 0.07,
    "neighbourhood": lambda dy, dx: dy**2 + dx**2 < 12**2,  # in feature cells
    "stride": 8,
    "short_side": None,  # frames at their own size
    "multiple": 1,
    "argmax": "annotation",  # labels are up-sampled to the annotation's size before the argmax
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
}
DINO = VFS | {  # Caron et al., ICCV 2021; facebookresearch/dino @ 7c446df
    "context": 7,
    "first_in_window": False,
    "topk": 5,
    "ties": "kept",  # all matches that equal the last of the topk
    "temperature": 0.1,
    "neighbourhood": lambda dy, dx: (abs(dy) <= 12) & (abs(dx) <= 12),
    "short_side": 480,
    "multiple": 64,  # the long side is floored to a multiple of it
    "argmax": "input",  # the argmax is taken at the network's input size, then brought to the annotation's
    "std": (0.228, 0.224, 0.225),
}
PROTOCOLS = {"vfs": VFS, "dino": DINO}


def mean_colour(frame):
    """Return the mean colour of each 8 x 8 block: (1, 3, H, W) to (1, 3, h, w)."""
    return F.avg_pool2d(frame, 8, ceil_mode=True, count_include_pad=False)


def resize_like_opencv(image, height, width):
    """Resize uint8 (H, W, 3) as cv2.resize does: bilinear, no smoothing, 11-bit weights."""

    def axis(old, new):
        centre = ((np.arange(new) + 0.5) * (old / new) - 0.5).astype(np.float32).clip(0, old - 1)
        low = np.floor(centre).astype(int)
        weights = (np.rint(part * 2048).astype(int) for part in (1 - (centre - low), centre - low))
        return low, np.minimum(low + 1, old - 1), *weights

    left, right, a, b = axis(image.shape[1], width)
    rows = (image[:, left] * a[:, None] + image[:, right] * b[:, None]) >> 4
    top, below, a, b = axis(image.shape[0], height)
    sums = ((rows[top] * a[:, None, None]) >> 16) + ((rows[below] * b[:, None, None]) >> 16)
    return ((sums + 2) >> 2).clip(0, 255).astype(np.uint8)


def read_frame(path, protocol):
    """Read a frame as a normalised tensor (1, 3, H, W), at the size that the network sees."""
    image = np.asarray(Image.open(path).convert("RGB"))
    if short := protocol["short_side"]:
        height, width = image.shape[:2]
        long = short * max(height, width) // min(height, width) // protocol["multiple"] * protocol["multiple"]
        size = (short, long) if height <= width else (long, short)
        image = resize_like_opencv(image, *size)
    mean, std = (torch.tensor(protocol[name])[:, None, None] for name in ("mean", "std"))
    return (torch.tensor(image).permute(2, 0, 1)[None].float() / 255 - mean) / std


def first_labels(mask, grid):
    """Sample the first annotation (H, W) at the feature grid (h, w), as one channel per id: (L, h, w)."""
    ids = torch.tensor(np.asarray(Image.fromarray(mask).resize(grid[::-1], Image.Resampling.NEAREST)))
    return (ids == torch.arange(int(mask.max()) + 1)[:, None, None]).float()


def propagate(query, references, labels, protocol, chunk=500):
    """Propagate the labels of the reference frames to the query frame.

    `query` (C, h, w) and `references` (R, C, h, w) are features of unit length, `labels` is (R, L, h, w). The result
    (L, h, w) is at each query cell the mean of the labels of its best matches, weighted by the softmax of their cosine
    similarity over the temperature. `chunk` queries at a time bound the memory.
    """
    _, h, w = query.shape
    keys = references.permute(0, 2, 3, 1).flatten(0, 2)  # (R h w, C)
    labels = labels.permute(1, 0, 2, 3).flatten(1)  # (L, R h w)
    y, x = torch.arange(h).repeat_interleave(w), torch.arange(w).repeat(h)  # y and x of each cell
    out = []
    for cells in torch.arange(h * w).split(chunk):
        near = protocol["neighbourhood"](y[:, None] - y[cells], x[:, None] - x[cells])  # (h w, chunk)
        cosine = keys @ query.flatten(1)[:, cells]  # (R h w, chunk)
        cosine = cosine.masked_fill(~near.repeat(len(references), 1), -torch.inf)
        best, index = cosine.topk(min(protocol["topk"], len(cosine)), dim=0)
        if protocol["ties"] == "cut":
            weights = (best / protocol["temperature"]).softmax(0)
            out.append((labels[:, index] * weights).sum(1))
        else:
            kept = cosine.masked_fill(cosine < best[-1], -torch.inf)
            out.append(labels @ (kept / protocol["temperature"]).softmax(0))
    return torch.cat(out, dim=1).view(-1, h, w)


def decode(labels, size, protocol):
    """Return the mask (H, W) of soft labels (L, h, w): up-sample, rescale each channel to [0, 1], take the argmax."""
    at = {"scale_factor": protocol["stride"]} if protocol["argmax"] == "input" else {"size": size}
    maps = F.interpolate(labels[None].float(), **at, mode="bilinear")[0]
    for channel in maps:
        if channel.max() > 0:
            low, high = channel.aminmax()
            channel.sub_(low).div_(high - low + 1e-12)
    mask = Image.fromarray(maps.argmax(0).byte().numpy())
    return np.asarray(mask.resize(size[::-1], Image.Resampling.NEAREST))


def segment(frames, first_mask, encode, protocol):
    """Yield (labels, mask) of each frame; `frames` are paths, `first_mask` the annotation of the first one."""
    window = []  # (features, labels) of frame 0 and of the preceding frames
    for number, path in enumerate(frames):
        features = F.normalize(encode(read_frame(path, protocol))[0], dim=0)
        if number == 0:
            labels, mask = first_labels(first_mask, features.shape[1:]).to(features.dtype), first_mask
            first = (features, labels)
        else:
            references = (torch.stack(part) for part in zip(first, *window, strict=True))
            labels = propagate(features, *references, protocol)
            mask = decode(labels, first_mask.shape, protocol)
        yield labels, mask
        if number > 0 or protocol["first_in_window"]:
            window = [*window, (features, labels)][-protocol["context"] :]


def region_similarity(prediction, target):
    """Return J, the intersection over union of two boolean masks; two empty masks score 1."""
    union = (prediction | target).sum()
    return (prediction & target).sum() / union if union else 1.0


def boundary_accuracy(prediction, target):
    """Return F, the F-measure of the two boundaries, matched within 0.008 of the image diagonal."""

    def boundary(mask):
        edge = np.zeros_like(mask)  # a pixel that differs from the one to the right, below, or below right
        edge[:, :-1] = mask[:, :-1] ^ mask[:, 1:]
        edge[:-1] |= mask[:-1] ^ mask[1:]
        edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
        return torch.tensor(edge)

    radius = math.ceil(0.008 * math.hypot(*target.shape))
    steps = torch.arange(-radius, radius + 1)
    disk = (steps[:, None] ** 2 + steps**2 <= radius**2).float()[None, None]
    edges = torch.stack([boundary(prediction), boundary(target)])
    near = F.conv2d(edges[:, None].float(), disk, padding=radius)[:, 0] > 0.5  # the boundaries, dilated
    found, wanted = (int(edge.sum()) for edge in edges)
    if not found or not wanted:
        return float(found == wanted)
    precision, recall = int((edges[0] & near[1]).sum()) / found, int((edges[1] & near[0]).sum()) / wanted
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@torch.inference_mode()
def evaluate(root, encode, protocol, names=None):
    """Return {sequence: {object id: (J, F)}}, means over the frames; the first and the last frame are not scored."""
    root = Path(root)
    scores = {}
    for name in names or (root / "ImageSets/2017/val.txt").read_text().split():
        frames = sorted((root / "JPEGImages/480p" / name).glob("*.jpg"))
        truth = [np.array(Image.open(root / "Annotations/480p" / name / f"{frame.stem}.png")) for frame in frames]
        masks = [mask for _, mask in segment(frames, truth[0], encode, protocol)]
        scores[name] = {}
        for number in range(1, int(truth[0].max()) + 1):
            pairs = [(mask == number, target == number) for mask, target in zip(masks, truth, strict=True)][1:-1]
            region = np.mean([region_similarity(*pair) for pair in pairs])
            scores[name][number] = region, np.mean([boundary_accuracy(*pair) for pair in pairs])
        print(name, *(f"{j:.4f} {f:.4f}" for j, f in scores[name].values()), flush=True)
    return scores


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", help="the folder that holds JPEGImages, Annotations and ImageSets")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="dino")
    parser.add_argument("--encoder", help="package.module:callable; default: the mean colour of 8 x 8 pixels")
    arguments = parser.parse_args()
    module, _, function = (arguments.encoder or f"{__name__}:mean_colour").partition(":")
    encoder = getattr(importlib.import_module(module), function)
    found = evaluate(arguments.root, encoder, PROTOCOLS[arguments.protocol])
    region, contour = np.mean([score for objects in found.values() for score in objects.values()], axis=0)
    print(f"J&F-Mean {(region + contour) / 2:.4f}  J-Mean {region:.4f}  F-Mean {contour:.4f}")
