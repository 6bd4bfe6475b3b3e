"""Draw where a cell of frame 102 of bigbuckbunny.mp4, in the working directory, looks in frames 48 and 75."""

import torch

from vidcorr import FrameStream, PropagationProtocol, build_feature_extractor
from vidcorr.results.pictures import heat_map_sheet, write_picture
from vidcorr.tracking.frame_encoder import FrameEncoder

frames = torch.stack(list(FrameStream("bigbuckbunny.mp4", start=48, end=103))[::27])
protocol = PropagationProtocol.named("vidcorr-fast", changes={"topk": 3000, "temperature": 0.05, "radius": 40})
encoder = FrameEncoder(build_feature_extractor("vidcorr-r18", "res4"), protocol)
features = torch.stack(list(encoder.maps(frames)))
covered_size = encoder.input_sizes(frames.shape[2:]).covered
names = ["frame 48", "frame 75", "frame 102"]
picture = heat_map_sheet(
    features, (50, 62), frames, protocol, covered_size, names, width=480
)  # row and column of the cell
write_picture("heat_map.png", picture)
