"""Writing: files that are whole or absent, tables, mp4 videos and the progress of long work."""
