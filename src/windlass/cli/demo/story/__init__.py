"""The story of a video: the catalogue's kinds as one workflow, things that go wrong on the way, and every word checked."""
