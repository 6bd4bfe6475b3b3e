"""Time a sweep of 40 protocols against 40 single evaluations of one benchmark.

OMP_NUM_THREADS=1 python -m tests.speed.sweep
"""

from tests.speed.timing import DATA, flags, now, row
from vidcorr import DavisBenchmark
from vidcorr.backbones import build_feature_extractor
from vidcorr.experiments.grid import read_grid
from vidcorr.functional import PropagationProtocol

VARIED = ["radius=6,12", "topk=1,5,10,20", "temperature=0.03,0.05,0.07,0.1,0.2"]


def main() -> None:
    flags(__doc__).parse_args()
    extractor = build_feature_extractor("torchvision:resnet18", stage="res4", stride=8)

    def seconds(protocol) -> float:
        """CPU seconds of one evaluation."""
        benchmark = DavisBenchmark(DATA / "davis", predictions=False, limit_sequences=1)
        benchmark.protocol = protocol
        began = now()
        benchmark.evaluate(extractor)
        return now()[1] - began[1]

    grid = read_grid(PropagationProtocol.named("vfs", "davis").with_changes(input_size=240), VARIED)
    alone = min(seconds(grid[number]) for number in (0, 20, 39))
    row(f"{len(grid)} protocols on one video at 240p", len(grid) * alone, seconds(grid))


if __name__ == "__main__":
    main()
