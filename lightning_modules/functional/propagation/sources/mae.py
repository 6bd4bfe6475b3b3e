"""CropMAE and CatMAE: masked autoencoders measured by a descendant of CRW's script."""

from ...evaluation_protocol import Source
from .crw import AT_INPUT, JOINTS, REFERENCES

_VIT = {"feature_stride": 16, "label_encoding": "bilinear", "label_rescaling": False, **REFERENCES}
_CROPMAE = {
    "input_filter": "opencv-linear-float",
    "context": 20,
    "topk": 7,
    "temperature": 0.7,
    "radius": 20,
    **_VIT,
    **AT_INPUT,
    "position_embedding": "dino",
}

CROPMAE_JHMDB = _CROPMAE | JOINTS | {"input_size": (320, 320)}

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
        "jhmdb": CROPMAE_JHMDB,
    },
    note="norm_mask, off by default, is left out. The code's default data are a copy of DAVIS at 480 x 880, without a "
    "script that makes it; here as CatMAE's makes it. Set resized_data to None for scores on the native annotation.",
    inferred={"davis": "how the copy of the data at 480 x 880 was made"},
)

_CATMAE = {"context": 20, **_VIT, "first_frame": "decoded", "resized_data": (480, 880), "input_size": (480, 880)}

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
