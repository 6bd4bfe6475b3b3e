"""CRW: Jabri, Owens and Efros, Space-Time Correspondence as a Contrastive Random Walk (NeurIPS 2020)."""

from ...protocol import Source

DAVIS = {
    "context": 20,
    "topk": 10,
    "temperature": 0.05,
    "radius": 12,
    "first_frame_masked": False,
    "repeat_first": "padding",
    "label_encoding": "bilinear",
    "label_rescaling": False,
    "keypoint_sigma": 0.5,
    "keypoint_unit": "cell",
    "keypoint_topk": 3,
    "keypoint_grid": "feature",
    "keypoint_counting": "crw",
}

CRW = Source(
    code="ajabri/videowalk @ 047f3f4: README.md, code/test.py, code/data/vos.py, code/utils/test_utils.py",
    values={"davis": DAVIS},
)
