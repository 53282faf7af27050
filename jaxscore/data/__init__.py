"""Data: files fetched and hashed, assemblies, tables."""
