"""What readers do, beside what a model expects: reading times, word-level responses, the next word of a text."""
