"""Writing: atomic files, tables, mp4 videos and the progress of long work."""
