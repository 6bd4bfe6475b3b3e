"""Reading of videos, images, boxes and prompts from disk."""
