"""Extraction: windows through the model, pooled states out."""
