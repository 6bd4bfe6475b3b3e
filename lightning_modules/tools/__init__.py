"""Commands that bring weights in and out."""
