"""Bodies that the scanned block does not cover: a module each, all fulfilling `architecture.Body`."""
