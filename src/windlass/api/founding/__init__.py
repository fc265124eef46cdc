"""The founding documents' 48 paths, with their requests and replies, over the canonical operations."""
