"""DINO (Caron et al., ICCV 2021) and the descendants of its script: RSP and DIFT."""

from ...evaluation_protocol import Source

_NUMBERS = {"context": 7, "topk": 5, "temperature": 0.1, "radius": 12}
_SCRIPT = {
    "neighbourhood": "square",
    "topk_ties": "kept",
    "repeat_first": "never",
    "decoding_size": "input",
    "input_size": 480,
    "input_multiple": 64,
    "input_rounding": "floor",
    "input_filter": "opencv-linear",
}
_RGB = {"rgb_mean": (0.485, 0.456, 0.406), "rgb_std": (0.228, 0.224, 0.225)}
_SANE = (
    "The code codes only as many objects as the largest id at the size of the map says: an object that vanishes there "
    "is lost with its channel; here it keeps an empty one. The code scrambles the labels of square pictures; here the "
    "sides that frames and labels get are the same."
)
_POSITIONS = {"position_embedding": "dino"}

DINO = Source(
    code="facebookresearch/dino @ 7c446df: eval_video_segmentation.py",
    values={"davis": _NUMBERS | _SCRIPT | _RGB | _POSITIONS},
    note=_SANE,
)
RSP = Source(
    code="huiwon-jang/RSP @ 5ea2b91: eval_video_segmentation_davis.py, data_preprocessing/eval/davis_preprocessing.py",
    values={
        "davis": _SCRIPT
        | _RGB
        | {
            "context": 30,
            "topk": 7,
            "temperature": 0.1,
            "radius": 30,
            "feature_stride": 16,
            "resized_data": (480, 880),
        }
    },
    note="The data are a copy of DAVIS at 480 x 880, and scored at that size; the network sees 480 x 832. " + _SANE,
)
_DIFT = _SCRIPT | {"input_multiple": 32, "rgb_mean": (0.5, 0.5, 0.5), "rgb_std": (0.5, 0.5, 0.5)}
DIFT_SD = Source(
    code="Tsingularity/dift @ 9421eb2: README.md, eval_davis.py",
    values={"davis": _DIFT | {"context": 28, "topk": 15, "temperature": 0.2, "radius": 15}},
    note="The values of the README (t 51, up_ft_index 2, ensemble of 8); the script's defaults are others. The code "
    "takes at most 10 context frames in the sequence 'shooting', for memory; here all. " + _SANE,
)
DIFT_ADM = Source(
    code=DIFT_SD.code,
    values={"davis": _DIFT | {"context": 28, "topk": 10, "temperature": 0.1, "radius": 15}},
    note="The values of the README. " + _SANE,
)
