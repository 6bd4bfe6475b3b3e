"""Spa-then-Temp: Li and Liu, Spatial-then-Temporal Self-Supervised Learning for Video Correspondence (CVPR 2023)."""

from ...evaluation_protocol import Source

_NUMBERS = {"context": 20, "topk": 10, "temperature": 0.07, "radius": 12, "neighbourhood": "square"}
_RESIZED = {"input_filter": "opencv-linear", "label_encoding": "bilinear"}

SPA_THEN_TEMP = Source(
    code="qianduoduolr/Spa-then-Temp @ 4c94362: vcl/models/trackers/vanilla_tracker.py, vcl/models/common/*.py",
    values={
        "davis": _NUMBERS,
        "jhmdb": _NUMBERS | _RESIZED | {"radius": 5, "input_size": (320, 320)},
        "vip": _NUMBERS | {"radius": 16, "input_size": (560, 560), "input_filter": "opencv-linear"},
    },
    note="The values at stride 8. Its networks see Lab: the module's own conversion.",
)
