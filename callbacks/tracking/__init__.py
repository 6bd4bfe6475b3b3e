"""The engine that carries labels through a video with the features of an extractor."""
