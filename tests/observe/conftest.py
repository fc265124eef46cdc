"""An app on each engine, which other processes may reach."""

from tests.api_python.conftest import app, shared
from tests.api_python.conftest import shared as place

__all__ = ["app", "place", "shared"]
