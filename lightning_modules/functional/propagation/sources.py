"""The protocols that publications define, as data: a section for each family of codes, an entry for each name."""

from ..evaluation_protocol import Source

# VFS: Xu and Wang, Rethinking Self-supervised Correspondence Learning (ICCV 2021).

_VFS_NUMBERS = {"context": 20, "topk": 10, "temperature": 0.07, "radius": 12}
_VFS_VIP = _VFS_NUMBERS | {"context": 8, "radius": 20, "input_size": (560, 560)}
_VFS_JHMDB = _VFS_NUMBERS | {"context": 4, "radius": 20, "input_size": (320, 320), "label_encoding": "bilinear"}

VFS = Source(
    code="xvjiarui/VFS @ 8e055cc: mmaction/models/trackers/vanilla_tracker.py, "
    "configs/r18_nc_sgd_cos_100e_r2_1xNx8_k400.py; paper, Table A.1",
    values={"davis": _VFS_NUMBERS, "vip": _VFS_VIP, "jhmdb": _VFS_JHMDB},
    inferred={
        "vip": "input_size: no configuration was released; 560 x 560 is that of the code family (TimeCycle, "
        "Spa-then-Temp)",
        "jhmdb": "input_size: no configuration was released; 320 x 320 is that of the code family",
    },
)

VFS_R50 = Source(
    code="xvjiarui/VFS @ 8e055cc: configs/r50_nc_sgd_cos_100e_r5_1xNx2_k400.py",
    values={"davis": _VFS_NUMBERS | {"radius": 18}},
    note="The released configuration of ResNet-50 has neighbor_range 36; the paper's Table A.1 says radius 12.",
)

# CRW: Jabri, Owens and Efros, Space-Time Correspondence as a Contrastive Random Walk (NeurIPS 2020).

_CRW_REFERENCES = {"first_frame_masked": False, "repeat_first": "padding"}
"""Frame 0, unmasked, and a window that is padded with frame 0: also of HVC, CropMAE, CatMAE and RVM."""

_CRW_JOINTS = {"keypoint_sigma": 0.5, "keypoint_unit": "cell", "keypoint_grid": "feature", "keypoint_counting": "crw"}

_CRW_DAVIS = {
    "context": 20,
    "topk": 10,
    "temperature": 0.05,
    "radius": 12,
    **_CRW_REFERENCES,
    "label_encoding": "bilinear",
    "label_rescaling": False,
    **_CRW_JOINTS,
    "keypoint_topk": 3,
}
_CRW_DEFAULTS = _CRW_DAVIS | {"temperature": 0.07, "input_size": (320, 320), "input_filter": "opencv-linear-float"}
_CRW_AT_INPUT = {
    "label_size": "input",
    "decoding_size": "input",
    "decoding_nearest": "opencv",
    "first_frame": "decoded",
}
"""Masks are coded and decoded at the size that the network sees: also of CropMAE and RVM."""

CRW = Source(
    code="ajabri/videowalk @ 047f3f4: README.md, code/test.py, code/data/vos.py, code/data/jhmdb.py, "
    "code/utils/test_utils.py",
    values={
        "davis": _CRW_DAVIS,
        "jhmdb": _CRW_DEFAULTS,
        "vip": _CRW_DEFAULTS | _CRW_AT_INPUT | {"decoding_nearest": "pillow"},
    },
    note="On VIP the code resizes label images linearly, which blends ids into others that were never annotated; here "
    "the nearest pixel is taken.",
    inferred={
        "jhmdb": "all numbers: the repository states none, these are the defaults of its arguments",
        "vip": "all numbers: the repository states none, these are the defaults of its arguments",
    },
)

# Liir: Li et al., Locality-Aware Inter- and Intra-Video Reconstruction (CVPR 2022).

_LIIR_NUMBERS = {
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
    code="paper, section 3.3, for the references and the compactness prior; the public code, LIIR_pytorch @ 21c7ba5, "
    "for the other numbers",
    values={
        "davis": _LIIR_NUMBERS,
        "youtube_vos": _LIIR_NUMBERS | {"input_size": 480, "input_filter": "bilinear-antialias"},
        "vip": _LIIR_NUMBERS | {"input_size": (560, 560)},
        "jhmdb": _LIIR_NUMBERS | {"input_size": (320, 320), "normalise_by": "weights"},
    },
    note="All data sets are tested with the setting of DAVIS, 'without any adaptation' (abstract).",
    inferred={
        "youtube_vos": "input_size: not stated; short side 480, as on DAVIS",
        "vip": "input_size: not stated; that of VFS",
        "jhmdb": "input_size and how joints are coded: not stated; those of VFS; normalise_by: the paper is silent on "
        "it, and the maps of joints do not sum to one",
    },
)

LIIR_REFERENCE = Source(
    code="LIIR_pytorch @ 21c7ba5, the public reproduction",
    values={
        "davis": _LIIR_NUMBERS
        | {"normalise_labels": False, "foreground_gain": 1.05, "label_feedback": "hard", "border": "zero"},
    },
    note="For weights trained with the reproduction; its coarse search in distant reference frames is left out.",
)

# DINO (Caron et al., ICCV 2021) and the descendants of its script: RSP and DIFT.

_DINO_NUMBERS = {"context": 7, "topk": 5, "temperature": 0.1, "radius": 12}
_DINO_SCRIPT = {
    "neighbourhood": "square",
    "topk_ties": "kept",
    "repeat_first": "never",
    "decoding_size": "input",
    "input_size": 480,
    "input_multiple": 64,
    "input_rounding": "floor",
    "input_filter": "opencv-linear",
}
_IMAGENET_RGB = {"rgb_mean": (0.485, 0.456, 0.406), "rgb_std": (0.228, 0.224, 0.225)}
_DINO_NOTE = (
    "The code codes only as many objects as the largest id at the size of the map says: an object that vanishes there "
    "is lost with its channel; here it keeps an empty one. The code scrambles the labels of square pictures; here the "
    "sides that frames and labels get are the same."
)
_DINO_POSITIONS = {"position_embedding": "dino"}

DINO = Source(
    code="facebookresearch/dino @ 7c446df: eval_video_segmentation.py",
    values={"davis": _DINO_NUMBERS | _DINO_SCRIPT | _IMAGENET_RGB | _DINO_POSITIONS},
    note=_DINO_NOTE,
)
RSP = Source(
    code="huiwon-jang/RSP @ 5ea2b91: eval_video_segmentation_davis.py, data_preprocessing/eval/davis_preprocessing.py",
    values={
        "davis": _DINO_SCRIPT
        | _IMAGENET_RGB
        | {
            "context": 30,
            "topk": 7,
            "temperature": 0.1,
            "radius": 30,
            "feature_stride": 16,
            "resized_data": (480, 880),
        }
    },
    note="The data are a copy of DAVIS at 480 x 880, and scored at that size; the network sees 480 x 832. "
    + _DINO_NOTE,
)
_DIFT = _DINO_SCRIPT | {"input_multiple": 32, "rgb_mean": (0.5, 0.5, 0.5), "rgb_std": (0.5, 0.5, 0.5)}
DIFT_SD = Source(
    code="Tsingularity/dift @ 9421eb2: README.md, eval_davis.py",
    values={"davis": _DIFT | {"context": 28, "topk": 15, "temperature": 0.2, "radius": 15}},
    note="The values of the README (t 51, up_ft_index 2, ensemble of 8); the script's defaults are others. The code "
    "takes at most 10 context frames in the sequence 'shooting', for memory; here all. " + _DINO_NOTE,
)
DIFT_ADM = Source(
    code=DIFT_SD.code,
    values={"davis": _DIFT | {"context": 28, "topk": 10, "temperature": 0.1, "radius": 15}},
    note="The values of the README (t 51, up_ft_index 7, ensemble of 4), which eval_davis.py extracts at stride 8. No "
    "separate run is among the golden references: it is dift-sd's script with another top-k and temperature. "
    + _DINO_NOTE,
)

# DINOv3: Siméoni et al. (2025), by its notebook on segmentation tracking.

_DINOV3_NOTEBOOK = {
    "context": 7,
    "topk": 5,
    "temperature": 0.2,
    "radius": 12,
    "neighbourhood": "disc",
    "topk_ties": "kept",
    "repeat_first": "never",
    "feature_stride": 16,
    "label_encoding": "nearest-exact",
    "decoding_filter": "nearest",
    "input_size": 960,
    "input_multiple": 16,
    "input_rounding": "ceil",
    "input_filter": "pillow-bicubic",
}
_DINOV3_PAPER = _DINOV3_NOTEBOOK | {"decoding_filter": "bilinear"}
_DINOV3_INFERRED = (
    "context, top-k, temperature and neighbourhood: the notebook's, one row of the paper's Table 27, whose choice is "
    "marked by colour only; how labels are brought to the map and whether they are rescaled: the notebook's, since the "
    "paper does not say"
)

DINOV3 = Source(
    code="facebookresearch/dinov3 @ 6876159: notebooks/segmentation_tracking.ipynb; paper (arXiv 2508.10104), "
    "appendix D.5, for YouTube-VOS and MOSE",
    values={"davis": _DINOV3_NOTEBOOK, "youtube_vos": _DINOV3_PAPER, "mose": _DINOV3_PAPER},
    note="On DAVIS the notebook's, which up-samples by nearest pixel; the paper up-samples probabilities bilinearly. "
    "It scores short sides of 480, 960 and 1440, of which 960 is taken, and follows objects of the first frame only.",
    inferred={
        "davis": "all numbers: those of the notebook, which follows one clip and scores nothing",
        "youtube_vos": _DINOV3_INFERRED,
        "mose": _DINOV3_INFERRED,
    },
)

# HVC: hybrid visual correspondence of static and dynamic features, with objects that enter later.

HVC = Source(
    code="NUST-Machine-Intelligence-Laboratory/HVC @ 977b670: infer_vos.py, labelprop/*.py, dataloader_infer.py",
    values={
        "davis": {
            "context": 50,
            "topk": 15,
            "temperature": 0.1,
            "radius": 12,
            **_CRW_REFERENCES,
            "entering": "own-context",
            "label_encoding": "bilinear-aligned",
            "label_rescaling": False,
            "decoding_filter": "bilinear-aligned",
            "first_frame": "decoded",
        }
    },
    note="Its features are two maps side by side, l2(1.05 l2(a), l2(b)): the network's business. On a GPU the code "
    "multiplies in float16; here float32.",
)

# CropMAE and CatMAE: masked autoencoders measured by a descendant of CRW's script.

_MAE_VIT = {"feature_stride": 16, "label_encoding": "bilinear", "label_rescaling": False, **_CRW_REFERENCES}
_CROPMAE = {
    "input_filter": "opencv-linear-float",
    "context": 20,
    "topk": 7,
    "temperature": 0.7,
    "radius": 20,
    **_MAE_VIT,
    **_CRW_AT_INPUT,
    "position_embedding": "dino",
}

_CROPMAE_JHMDB = _CROPMAE | _CRW_JOINTS | {"input_size": (320, 320)}

CROPMAE = Source(
    code="alexandre-eymael/CropMAE @ 5d0dab2: downstreams/propagation/src/{test,data/vos,data/jhmdb}.py, "
    "src/eval/{convert_davis,eval_vip,eval_pck}.py",
    values={
        "davis": _CROPMAE | {"resized_data": (480, 880), "input_size": (480, 880)},
        "vip": _CROPMAE
        | {
            "topk": 10,
            "input_size": 880,
            "input_side": "long",
            "input_multiple": 64,
            "input_rounding": "floor",
            "decoding_nearest": "pillow",
        },
        "jhmdb": _CROPMAE_JHMDB,
    },
    note="norm_mask, off by default, is left out. The code's default data are a copy of DAVIS at 480 x 880, without a "
    "script that makes it; here as CatMAE's makes it. Set resized_data to None for scores on the native annotation.",
    inferred={"davis": "how the copy of the data at 480 x 880 was made"},
)

_CATMAE = {"context": 20, **_MAE_VIT, "first_frame": "decoded", "resized_data": (480, 880), "input_size": (480, 880)}

CATMAE_16 = Source(
    code="minhoooo1/CatMAE @ 0fb1f60: DAVIS.md, convert_480_880.py, downstream/davis2017-seg/code/test_mae.py",
    values={"davis": _CATMAE | {"topk": 8, "temperature": 0.7, "radius": 18}},
    note="The setting of ViT-S/16.",
)
CATMAE_8 = Source(
    code=CATMAE_16.code,
    values={"davis": _CATMAE | {"topk": 12, "temperature": 0.5, "radius": 32, "feature_stride": 8}},
    note="The setting of ViT-S/8.",
)

# RVM and every model of its notebook (4DS, VideoMAE, …): Representations for Dense Dynamic Scenes, DeepMind.

_RVM = _CROPMAE_JHMDB | {"input_filter": "pillow-lanczos", "position_embedding": "network"}

RVM = Source(
    code="google-deepmind/representations4d @ 75aca30: colabs/rvm_evaluation_demo.ipynb",
    values={
        "davis": _RVM | {"input_size": (480, 880), "decoding_nearest": "opencv-exact"},
        "vip": _RVM | {"topk": 10, "input_size": (448, 880), "decoding_nearest": "pillow"},
        "jhmdb": _RVM,
    },
    note="The code also predicts frame 0 from copies of itself: the labels that were given, to 1e-7, as long as there "
    "are topk copies. Here they are given. RVM and 4DS see RGB in [0, 1]; other models are normalised by their own "
    "mean and deviation: set rgb_mean and rgb_std where the backbone's own differ.",
)

# Spa-then-Temp: Li and Liu, Spatial-then-Temporal Self-Supervised Learning for Video Correspondence (CVPR 2023).

_STT_NUMBERS = {"context": 20, "topk": 10, "temperature": 0.07, "radius": 12, "neighbourhood": "square"}
_STT_RESIZED = {"input_filter": "opencv-linear", "label_encoding": "bilinear"}

SPA_THEN_TEMP = Source(
    code="qianduoduolr/Spa-then-Temp @ 4c94362: vcl/models/trackers/vanilla_tracker.py, vcl/models/common/*.py",
    values={
        "davis": _STT_NUMBERS,
        "jhmdb": _STT_NUMBERS | _STT_RESIZED | {"radius": 5, "input_size": (320, 320)},
        "vip": _STT_NUMBERS | {"radius": 16, "input_size": (560, 560), "input_filter": "opencv-linear"},
    },
    note="The values at stride 8. Its networks see Lab: the module's own conversion.",
)

# This project's own choices, for every benchmark: VFS's numbers wherever a source has none.

_VIDCORR_MASKS = {**_VFS_NUMBERS, "label_rescaling_floor": 0.3}

VIDCORR = Source(
    code="this project",
    values={
        "davis": _VIDCORR_MASKS,
        "youtube_vos": _VIDCORR_MASKS,
        "vip": _VIDCORR_MASKS | {"context": 8, "radius": 20},
        "jhmdb": _VFS_JHMDB | {"keypoint_counting": "ground-truth"},
    },
    note="The floor keeps the trace of an object that has left from being painted; measured on real videos with "
    "one object each (docs/notebook.md).",
)

SOURCES: dict[str, Source] = {
    "vfs": VFS,
    "vfs-r50": VFS_R50,
    "crw": CRW,
    "dino": DINO,
    "liir": LIIR,
    "liir-reference": LIIR_REFERENCE,
    "cropmae": CROPMAE,
    "rvm": RVM,
    "catmae-16": CATMAE_16,
    "catmae-8": CATMAE_8,
    "rsp": RSP,
    "dift-sd": DIFT_SD,
    "dift-adm": DIFT_ADM,
    "dinov3": DINOV3,
    "hvc": HVC,
    "spa-then-temp": SPA_THEN_TEMP,
    "vidcorr": VIDCORR,
}
"""Name → source. A new protocol is an entry here; it needs code only for a rule that no other has."""
