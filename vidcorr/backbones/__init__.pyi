from .build import (
    build_encoder as build_encoder,
    build_feature_extractor as build_feature_extractor,
    encoder_hparams as encoder_hparams,
    require_name as require_name,
    trainable_network as trainable_network,
    weights_digest as weights_digest,
)
from .check_features import check_features as check_features
from .checkpoints import (
    encoder_from_checkpoint as encoder_from_checkpoint,
    module_from_checkpoint as module_from_checkpoint,
)
from .description import Network as Network
from .encoders import (
    NamedEncoder as NamedEncoder,
    SiameseEncoder as SiameseEncoder,
    extractor_of as extractor_of,
    normalises_itself as normalises_itself,
)
from .extractor import (
    FeatureExtractor as FeatureExtractor,
    Normalise as Normalise,
    RawColour as RawColour,
    TypeOfWeights as TypeOfWeights,
)
from .liir_encoder import LiirEncoder as LiirEncoder, LiirExtractor as LiirExtractor, PositionMap as PositionMap
from .networks import (
    build_network as build_network,
    crw_resnet18 as crw_resnet18,
    crw_training_resnet18 as crw_training_resnet18,
    pooled_width as pooled_width,
)
from .own_encoder import vidcorr_r18 as vidcorr_r18
from .video import CLIP_FAMILIES as CLIP_FAMILIES, Clips as Clips, Recurrent as Recurrent, VideoEncoder as VideoEncoder
