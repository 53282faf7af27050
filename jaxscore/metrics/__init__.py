"""Metrics: from features and responses to scores."""
