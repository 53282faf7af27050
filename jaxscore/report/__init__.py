"""Reports: tables for terminals, pictures for slides."""
