"""Scores that publications print, as data: shown beside a result only on the same test set and by the same protocol."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lightning_modules.functional import PropagationProtocol
from lightning_modules.functional.evaluation_protocol import EvaluationProtocol

from ..tracking.box_protocol import TrackingProtocol

SEQUENCES = {"davis": 30, "davis_2016": 20, "jhmdb": 268, "vip": 50, "otb": 100}
"""Number of sequences in the test set that papers report: val of DAVIS-2017 and 2016, split 1 of JHMDB, val of VIP,
OTB-100. Other test sets are scored by servers."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """One row of a publication's table.

    Attributes:
        name: method and network.
        benchmark: that it was scored on.
        protocol: our name of the protocol that it was scored by.
        changes: fields of that protocol that differ, such as the stride of the network's own patches.
        source: paper and table, or repository and commit.
        doubt: why the protocol is not certain; a row in doubt stands beside no result.
        scores: key → fraction.
    """

    name: str
    benchmark: str
    protocol: str
    source: str
    scores: Mapping[str, float]
    changes: Mapping[str, Any] = field(default_factory=dict)
    doubt: str = ""

    @property
    def certain(self) -> bool:
        """Tell whether code or text say by which protocol the row was scored."""
        return not self.doubt

    def evaluated_by(self) -> EvaluationProtocol:
        """Return the protocol of the row.

        Raises:
            ValueError: if its source defines no values for the benchmark.
        """
        if self.benchmark == "otb":
            return TrackingProtocol.named(self.protocol, "otb").with_changes(**self.changes)
        return PropagationProtocol.named(self.protocol, self.benchmark, ("davis",)).with_changes(**self.changes)


def published_beside(benchmark: str, digest: str, sequences: int | None) -> list[Published]:
    """Return the rows that compare with a result: the same benchmark, all its sequences, certainly the same protocol.

    Args:
        benchmark: of the result.
        digest: of the protocol that the result was scored by.
        sequences: number of sequences that the result is over.
    """
    if sequences is None or sequences != SEQUENCES.get(benchmark):
        return []
    rows = (row for row in PUBLISHED if row.certain and row.benchmark == benchmark)
    return [row for row in rows if row.evaluated_by().digest() == digest]


def _davis(both: float, region: float, boundary: float) -> dict[str, float]:
    return {"J&F-Mean": both, "J-Mean": region, "F-Mean": boundary}


def _pck(first: float, second: float) -> dict[str, float]:
    return {"PCK@0.1": first, "PCK@0.2": second}


def _track(precision: float, success: float) -> dict[str, float]:
    return {"success": success, "precision@20px": precision}


def _rows(source: str, benchmark: str, protocol: str, scores: Mapping[str, Any], **about: Any) -> tuple[Published, ...]:
    """Return a row for each name, all of one source, benchmark and protocol."""
    return tuple(
        Published(name=name, benchmark=benchmark, protocol=protocol, source=source, scores=own, **about)
        for name, own in scores.items()
    )


VFS = "VFS (arXiv 2103.17263), Table"
LIIR = "Liir (arXiv 2203.14333), section"
CRW = "ajabri/videowalk @ 047f3f4, README.md"
DINO = "DINO (arXiv 2104.14294), Table 5"
DINOV3 = "DINOv3 (arXiv 2508.10104), Table 5"
CROPMAE = "alexandre-eymael/CropMAE @ 088f73d, README.md"
CATMAE = "minhoooo1/CatMAE @ 011a7c2, README.md"
SPA_THEN_TEMP = "qianduoduolr/Spa-then-Temp @ 041a618, README.md"
HVC = "NUST-Machine-Intelligence-Laboratory/HVC @ 65a2a9a, README.md"

OTHERS_CODE = "the paper leaves open whether rows of other methods were measured by its own code"
SIZE_INFERRED = "the input's size is inferred from the code family"
NOT_STATED = "the repository states no values for this benchmark"
OTHER_STRIDE = "measured at stride 4, for which the source has other values than those named here"
OTHER_DECODING = (
    "the paper resizes probabilities bilinearly (appendix D.5), its notebook, which is the named protocol, by nearest "
    "pixel; the row of Table 27 that was chosen is marked by colour only"
)
OWN_SPLIT = OTHER_DECODING + "; scored on videos drawn from the training split, whose list is not published"
FIGURES_OF_R50 = "the paper's Table A.1 has radius 12, the released configuration 18"
COPY_INFERRED = "how the copy of the data at 480 x 880 was made is not published"
OTHER_CHECKPOINT = "which checkpoint and which command is not said"
SERVER = "the video's size is not stated; the masks are with the server, so that no result here stands beside it"

PUBLISHED: tuple[Published, ...] = (
    *_rows(
        f"{VFS} 7",
        "davis",
        "vfs",
        {
            "VFS, ResNet-18": _davis(0.667, 0.640, 0.694),
            "VFS, ResNet-18, best block": _davis(0.679, 0.650, 0.708),
        },
    ),
    *_rows(
        f"{VFS} 7",
        "davis",
        "vfs",
        {
            "supervised, ResNet-18": _davis(0.629, 0.606, 0.652),
            "SimSiam, ResNet-18": _davis(0.620, 0.600, 0.640),
            "MoCo, ResNet-18": _davis(0.608, 0.586, 0.631),
            "VINCE, ResNet-18": _davis(0.604, 0.579, 0.628),
        },
        doubt=OTHERS_CODE,
    ),
    *_rows(
        f"{VFS} 7",
        "davis",
        "vfs-r50",
        {
            "VFS, ResNet-50": _davis(0.689, 0.665, 0.713),
            "VFS, ResNet-50, best block": _davis(0.694, 0.667, 0.720),
        },
        doubt=FIGURES_OF_R50,
    ),
    *_rows(
        f"{VFS} 7",
        "jhmdb",
        "vfs",
        {
            "supervised, ResNet-18": _pck(0.538, 0.746),
            "VFS, ResNet-18": _pck(0.605, 0.795),
            "VFS, ResNet-50": _pck(0.609, 0.807),
        },
        doubt=SIZE_INFERRED,
    ),
    *_rows(
        f"{VFS} 7",
        "vip",
        "vfs",
        {
            "supervised, ResNet-18": {"mIoU": 0.319},
            "VFS, ResNet-18": {"mIoU": 0.399},
            "VFS, ResNet-50": {"mIoU": 0.432},
        },
        doubt=SIZE_INFERRED,
    ),
    # Table 8 fine-tunes; the frozen rows are those of the ablation of frames (n = 8).
    *_rows(f"{VFS} 4", "otb", "vfs", {"VFS, ResNet-18, frozen, n = 8": _track(0.530, 0.396)}),
    *_rows(
        f"{VFS} 8",
        "otb",
        "vfs",
        {
            "VFS, ResNet-18, fine-tuned": _track(0.689, 0.522),
            "VFS, ResNet-50, fine-tuned": _track(0.739, 0.525),
        },
    ),
    *_rows(
        f"{VFS} 8",
        "otb",
        "vfs",
        {
            "supervised, ResNet-18, fine-tuned": _track(0.614, 0.430),
            "CRW, ResNet-18, fine-tuned": _track(0.526, 0.401),
        },
        doubt=OTHERS_CODE,
    ),
    *_rows(
        CRW,
        "davis",
        "crw",
        {
            "CRW, ResNet-18, released checkpoint": {
                "J&F-Mean": 0.67606,
                "J-Mean": 0.645902,
                "J-Recall": 0.758043,
                "J-Decay": 0.2031,
                "F-Mean": 0.706219,
                "F-Recall": 0.83221,
                "F-Decay": 0.246789,
            }
        },
    ),
    *_rows(f"{VFS} 7", "davis", "crw", {"CRW, ResNet-18": _davis(0.676, 0.648, 0.702)}, doubt=OTHERS_CODE),
    *_rows(f"{VFS} 7", "jhmdb", "crw", {"CRW, ResNet-18": _pck(0.593, 0.803)}, doubt=NOT_STATED),
    *_rows(f"{VFS} 7", "vip", "crw", {"CRW, ResNet-18": {"mIoU": 0.386}}, doubt=NOT_STATED),
    *_rows(f"{LIIR} 4.1", "davis", "liir", {"Liir, ResNet-18": _davis(0.721, 0.697, 0.745)}),
    *_rows(
        f"{LIIR} 4.1",
        "youtube_vos",
        "liir",
        {
            "Liir, ResNet-18": {
                "Overall": 0.693,
                "J-Seen": 0.679,
                "F-Seen": 0.697,
                "J-Unseen": 0.657,
                "F-Unseen": 0.738,
            }
        },
        doubt=SERVER,
    ),
    *_rows(f"{LIIR} 4.3", "jhmdb", "liir", {"Liir, ResNet-18": _pck(0.607, 0.815)}, doubt=SIZE_INFERRED),
    *_rows(f"{LIIR} 4.2", "vip", "liir", {"Liir, ResNet-18": {"mIoU": 0.412}}, doubt=SIZE_INFERRED),
    *_rows(
        DINO,
        "davis",
        "dino",
        {"DINO, ViT-S/8": _davis(0.699, 0.666, 0.731), "DINO, ViT-B/8": _davis(0.714, 0.679, 0.749)},
    ),
    *_rows(
        DINO,
        "davis",
        "dino",
        {"DINO, ViT-S/16": _davis(0.618, 0.602, 0.634), "DINO, ViT-B/16": _davis(0.623, 0.607, 0.639)},
        changes={"feature_stride": 16},
    ),
    *(
        row
        for size, davis, youtube_vos, mose in (
            (480, 0.711, 0.741, 0.460),
            (960, 0.797, 0.802, 0.539),
            (1440, 0.833, 0.807, 0.556),
        )
        for benchmark, value, doubt in (
            ("davis", davis, OTHER_DECODING),
            ("youtube_vos", youtube_vos, OWN_SPLIT),
            ("mose", mose, OWN_SPLIT),
        )
        for row in _rows(
            DINOV3,
            benchmark,
            "dinov3",
            {f"DINOv3, ViT-7B/16, {size} px": {"J&F-Mean": value}},
            changes={"input_size": size},
            doubt=doubt,
        )
    ),
    *_rows(
        CROPMAE,
        "davis",
        "cropmae",
        {"CropMAE, ViT-S/16, ImageNet": {"J&F-Mean": 0.604}, "CropMAE, ViT-S/16, K400": {"J&F-Mean": 0.586}},
        doubt=COPY_INFERRED,
    ),
    *_rows(
        CROPMAE,
        "vip",
        "cropmae",
        {"CropMAE, ViT-S/16, ImageNet": {"mIoU": 0.333}, "CropMAE, ViT-S/16, K400": {"mIoU": 0.337}},
    ),
    *_rows(
        CROPMAE,
        "jhmdb",
        "cropmae",
        {"CropMAE, ViT-S/16, ImageNet": {"PCK@0.1": 0.436}, "CropMAE, ViT-S/16, K400": {"PCK@0.1": 0.429}},
    ),
    *_rows(CATMAE, "davis", "catmae-16", {"CatMAE, ViT-S/16": {"J&F-Mean": 0.625}}),
    *_rows(CATMAE, "davis", "catmae-8", {"CatMAE, ViT-S/8": {"J&F-Mean": 0.704}}),
    *(
        row
        for name, davis, vip, joints, doubt in (
            ("ResNet-18, temporal step only", 0.692, 0.398, (0.617, 0.815), ""),
            ("ResNet-18", 0.707, 0.409, (0.635, 0.831), ""),
            ("ResNet-50", 0.712, 0.422, (0.636, 0.838), ""),
            ("ResNet-18, stride 4", 0.735, 0.420, (0.656, 0.838), OTHER_STRIDE),
            ("ResNet-50, stride 4", 0.741, 0.428, (0.664, 0.844), OTHER_STRIDE),
        )
        for benchmark, scores in (("davis", {"J&F-Mean": davis}), ("vip", {"mIoU": vip}), ("jhmdb", _pck(*joints)))
        for row in _rows(SPA_THEN_TEMP, benchmark, "spa-then-temp", {f"Spa-then-Temp, {name}": scores}, doubt=doubt)
    ),
    *_rows(HVC, "davis", "hvc", {"HVC, COCO": {"J&F-Mean": 0.731}, "HVC, YouTube-VOS": {"J&F-Mean": 0.731}}),
    *_rows(HVC, "davis_2016", "hvc", {"HVC": {"J&F-Mean": 0.801}}, doubt=OTHER_CHECKPOINT),
    *_rows(HVC, "vip", "hvc", {"HVC": {"mIoU": 0.446}}, doubt=NOT_STATED),
    *_rows(HVC, "jhmdb", "hvc", {"HVC": _pck(0.617, 0.828)}, doubt=NOT_STATED),
)
"""Rows by method. RSP, RVM and DIFT have named protocols but no row: their repositories print no scores."""
