"""Public names of `callbacks.metrics`, imported when one of them is asked for."""

from .area_pck import AreaPCK, area_counts
from .box_tracking import TrackingSuccess, box_iou, centre_error, precision_curve, success_curve
from .categories import seen_and_unseen
from .keypoints import PCK, keypoint_distances, pck
from .outlines import Outline, boundary_score, mask_outlines, object_outlines, region_score
from .parts import InstanceAP, SemanticIoU, average_precision, class_areas, match_instances
from .point_tracking import PointQueries, TapVidMetrics, sample_queries, tapvid_metrics
from .segmentation import RegionBoundary, boundary_accuracy, region_similarity
from .sequence_score import SequenceScore, sequence_statistics

__all__ = [
    "PCK",
    "AreaPCK",
    "InstanceAP",
    "Outline",
    "PointQueries",
    "RegionBoundary",
    "SemanticIoU",
    "SequenceScore",
    "TapVidMetrics",
    "TrackingSuccess",
    "area_counts",
    "average_precision",
    "boundary_accuracy",
    "boundary_score",
    "box_iou",
    "centre_error",
    "class_areas",
    "keypoint_distances",
    "mask_outlines",
    "match_instances",
    "object_outlines",
    "pck",
    "precision_curve",
    "region_score",
    "region_similarity",
    "sample_queries",
    "seen_and_unseen",
    "sequence_statistics",
    "success_curve",
    "tapvid_metrics",
]
