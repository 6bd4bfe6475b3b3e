"""HVC: hybrid visual correspondence of static and dynamic features, with objects that enter later."""

from ...evaluation_protocol import Source
from .crw import REFERENCES

HVC = Source(
    code="NUST-Machine-Intelligence-Laboratory/HVC @ 977b670: infer_vos.py, labelprop/*.py, dataloader_infer.py",
    values={
        "davis": {
            "context": 50,
            "topk": 15,
            "temperature": 0.1,
            "radius": 12,
            **REFERENCES,
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
