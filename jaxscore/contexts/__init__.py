"""Contexts: stimuli, words, windows of tokens."""
