"""Windlass: a job queue for Python."""
