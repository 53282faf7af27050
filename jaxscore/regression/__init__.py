"""Cross-validated regression: arrays in, arrays out; nothing here knows of language."""
