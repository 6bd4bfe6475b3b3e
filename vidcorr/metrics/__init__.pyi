from .box_tracking import (
    box_iou as box_iou,
    centre_error as centre_error,
    precision_curve as precision_curve,
    success_curve as success_curve,
)
from .classes import (
    PCK as PCK,
    InstanceAP as InstanceAP,
    RegionBoundary as RegionBoundary,
    SemanticIoU as SemanticIoU,
    TrackingSuccess as TrackingSuccess,
)
from .declared import Score as Score, fractions as fractions
from .keypoints import keypoint_distances as keypoint_distances
from .outlines import (
    Outline as Outline,
    boundary_score as boundary_score,
    jaccard as jaccard,
    object_outlines as object_outlines,
)
from .parts import (
    average_precision as average_precision,
    class_areas as class_areas,
    match_instances as match_instances,
)
from .point_tracking import (
    PointQueries as PointQueries,
    sample_queries as sample_queries,
    tapvid_metrics as tapvid_metrics,
)
from .row_metric import RowMetric as RowMetric
from .scoring import MaskScorer as MaskScorer, sequence_statistics as sequence_statistics
from .segmentation import boundary_accuracy as boundary_accuracy, region_similarity as region_similarity
