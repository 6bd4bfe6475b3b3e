"""Reconstruction of a frame from a local window of its references (Liir)."""
