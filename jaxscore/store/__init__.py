"""The store: results that are whole or not there."""
