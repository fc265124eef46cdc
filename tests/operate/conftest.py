"""An app on each engine, and one that other processes reach."""

from tests.api_python.conftest import app, place, shared

__all__ = ["app", "place", "shared"]
