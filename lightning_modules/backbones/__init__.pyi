from .build import (
    build_encoder as build_encoder,
    build_feature_extractor as build_feature_extractor,
    describe_network as describe_network,
    encoder_hparams as encoder_hparams,
    extractor_of as extractor_of,
    module_from_checkpoint as module_from_checkpoint,
    trainable_network as trainable_network,
)
from .extractor import (
    FeatureExtractor as FeatureExtractor,
    HeadExtractor as HeadExtractor,
    Normalise as Normalise,
    RawColour as RawColour,
    build_head as build_head,
)
from .liir_encoder import (
    LiirEncoder as LiirEncoder,
    LiirExtractor as LiirExtractor,
    PositionMap as PositionMap,
)
from .networks import (
    build_network as build_network,
    pooled_width as pooled_width,
    shared_copy as shared_copy,
)
from .resnet import (
    crw_resnet18 as crw_resnet18,
    crw_training_resnet18 as crw_training_resnet18,
)
from .video import (
    CLIP_FAMILIES as CLIP_FAMILIES,
    Clips as Clips,
    Recurrent as Recurrent,
    VideoEncoder as VideoEncoder,
)
