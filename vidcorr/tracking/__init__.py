"""The engine that propagates labels through a video by the features of an extractor."""
