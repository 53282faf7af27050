"""The embedded model: how it was made, and its files."""
