"""Rules by which data sets score masks: the frames and objects that count, the measures, the averages."""

from .base import Rules, Video, VideoScore, sequence_statistics
from .davis import DavisRules, VostRules, YoutubeVosRules, seen_and_unseen
from .lvos import LvosRules
from .mose import MoseV2Rules
from .vos_benchmark import SaVRules, VosBenchmarkRules

RULES: dict[str, Rules] = {
    rules.name: rules
    for rules in (
        DavisRules("davis-2017"),
        DavisRules("davis-2016", merged=True),
        YoutubeVosRules("youtube-vos"),
        LvosRules("lvos"),
        LvosRules("lvos-2023", drops_ends=False),
        VostRules("vost"),
        SaVRules("sa-v"),
        MoseV2Rules("mose-v2"),
        VosBenchmarkRules("vos-benchmark"),
    )
}
"""Named rules. A new data set is a file beside these and an entry here."""

__all__ = ["RULES", "Rules", "Video", "VideoScore", "seen_and_unseen", "sequence_statistics"]
