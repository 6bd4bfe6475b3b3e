from .encoder import (
    Encoder as Encoder,
    Input as Input,
    Network as Network,
    weights_digest as weights_digest,
)
from .extractor import (
    FeatureExtractor as FeatureExtractor,
)
from .liir_encoder import LiirEncoder as LiirEncoder, PositionMap as PositionMap
from .loading import (
    build_feature_extractor as build_feature_extractor,
    load as load,
    module_from_checkpoint as module_from_checkpoint,
    trainable_network as trainable_network,
)
from .networks import (
    EncoderSpec as EncoderSpec,
    NetworkName as NetworkName,
)
from .raw_colour import RawColour as RawColour
from .resnet import (
    crw_resnet18 as crw_resnet18,
    crw_training_resnet18 as crw_training_resnet18,
    crw_training_resnet50 as crw_training_resnet50,
    vidcorr_r18 as vidcorr_r18,
)
from .training import (
    Normalise as Normalise,
    TrainedViews as TrainedViews,
    freeze_unused as freeze_unused,
    width_of as width_of,
)
from .video_encoders import Clips as Clips, Recurrent as Recurrent, VideoEncoder as VideoEncoder
from .vit import (
    moco_v3_vit_base as moco_v3_vit_base,
    moco_v3_vit_small as moco_v3_vit_small,
    vit_base_patch16_reg4 as vit_base_patch16_reg4,
    vit_small_patch16_reg4 as vit_small_patch16_reg4,
)
