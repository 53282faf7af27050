"""Listening to a story: words with their times, and volumes that go on while they are heard."""
