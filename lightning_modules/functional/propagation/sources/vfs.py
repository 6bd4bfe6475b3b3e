"""VFS: Xu and Wang, Rethinking Self-supervised Correspondence Learning (ICCV 2021)."""

from ...evaluation_protocol import Source

NUMBERS = {"context": 20, "topk": 10, "temperature": 0.07, "radius": 12}
VIP = NUMBERS | {"context": 8, "radius": 20, "input_size": (560, 560)}
JHMDB = NUMBERS | {"context": 4, "radius": 20, "input_size": (320, 320), "label_encoding": "bilinear"}

VFS = Source(
    code="xvjiarui/VFS @ 8e055cc: mmaction/models/trackers/vanilla_tracker.py, "
    "configs/r18_nc_sgd_cos_100e_r2_1xNx8_k400.py; paper, Table A.1",
    values={"davis": NUMBERS, "vip": VIP, "jhmdb": JHMDB},
    inferred={
        "vip": "input_size: no configuration was released; 560 x 560 is that of the code family (TimeCycle, "
        "Spa-then-Temp)",
        "jhmdb": "input_size: no configuration was released; 320 x 320 is that of the code family",
    },
)

VFS_R50 = Source(
    code="xvjiarui/VFS @ 8e055cc: configs/r50_nc_sgd_cos_100e_r5_1xNx2_k400.py",
    values={"davis": NUMBERS | {"radius": 18}},
    note="The released configuration of ResNet-50 has neighbor_range 36; the paper's Table A.1 says radius 12.",
)
