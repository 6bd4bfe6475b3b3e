"""Reading of videos, pictures, boxes and prompts from disk."""
