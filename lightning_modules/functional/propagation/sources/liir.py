"""Liir: Li et al., Locality-Aware Inter- and Intra-Video Reconstruction (CVPR 2022)."""

from ...evaluation_protocol import Source

DAVIS = {
    "context": 0,
    "topk": None,
    "temperature": 1.0,
    "radius": 14,
    "neighbourhood": "square",
    "repeat_first": "never",
    "references": (0, 5, -5, -3, -1),
    "mixture_components": 2,
    "normalise_labels": True,
    "feature_normalisation": "raw",
    "feature_stride": 4,
    "label_encoding": "strided",
    "label_rescaling": False,
    "input_padding": 4,
}

LIIR = Source(
    code="paper, sections 3.3 and 4.1",
    values={
        "davis": DAVIS,
        "youtube_vos": DAVIS | {"input_size": 480, "input_filter": "bilinear-antialias"},
        "vip": DAVIS | {"input_size": (560, 560)},
        "jhmdb": DAVIS | {"input_size": (320, 320)},
    },
    note="All data sets are tested with the setting of DAVIS, 'without any adaptation' (section 3.3).",
    inferred={
        "youtube_vos": "input_size: not stated; short side 480, as on DAVIS",
        "vip": "input_size: not stated; that of VFS",
        "jhmdb": "input_size and how joints are coded: not stated; those of VFS",
    },
)

LIIR_REFERENCE = Source(
    code="LIIR_pytorch @ 21c7ba5, the public reproduction",
    values={
        "davis": DAVIS
        | {"normalise_labels": False, "foreground_gain": 1.05, "label_feedback": "hard", "border": "zero"},
    },
    note="For weights trained with the reproduction; its coarse search in distant reference frames is left out.",
)
