"""CRW: Jabri, Owens and Efros, Space-Time Correspondence as a Contrastive Random Walk (NeurIPS 2020)."""

from ...evaluation_protocol import Source

REFERENCES = {"first_frame_masked": False, "repeat_first": "padding"}
"""Frame 0, unmasked, and a window that is padded with frame 0: also of HVC, CropMAE, CatMAE and RVM."""

JOINTS = {"keypoint_sigma": 0.5, "keypoint_unit": "cell", "keypoint_grid": "feature", "keypoint_counting": "crw"}

DAVIS = {
    "context": 20,
    "topk": 10,
    "temperature": 0.05,
    "radius": 12,
    **REFERENCES,
    "label_encoding": "bilinear",
    "label_rescaling": False,
    **JOINTS,
    "keypoint_topk": 3,
}
DEFAULTS = DAVIS | {"temperature": 0.07, "input_size": (320, 320), "input_filter": "opencv-linear-float"}
AT_INPUT = {"label_size": "input", "decoding_size": "input", "decoding_nearest": "opencv", "first_frame": "decoded"}
"""Masks are coded and decoded at the size that the network sees: also of CropMAE and RVM."""

CRW = Source(
    code="ajabri/videowalk @ 047f3f4: README.md, code/test.py, code/data/vos.py, code/data/jhmdb.py, "
    "code/utils/test_utils.py",
    values={"davis": DAVIS, "jhmdb": DEFAULTS, "vip": DEFAULTS | AT_INPUT | {"decoding_nearest": "pillow"}},
    note="On VIP the code resizes label images linearly, which blends ids into others that were never annotated; here "
    "the nearest pixel is taken.",
    inferred={
        "jhmdb": "all numbers: the repository states none, these are the defaults of its arguments",
        "vip": "all numbers: the repository states none, these are the defaults of its arguments",
    },
)
