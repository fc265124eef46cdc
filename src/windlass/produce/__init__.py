"""Storing jobs, and waiting for what becomes of them."""
