"""RVM and every model of its notebook (4DS, VideoMAE, …): Representations for Dense Dynamic Scenes, DeepMind."""

from ...evaluation_protocol import Source
from . import mae

_RVM = mae.CROPMAE_JHMDB | {"input_filter": "pillow-lanczos", "position_embedding": "network"}

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
