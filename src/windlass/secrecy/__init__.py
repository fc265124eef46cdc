"""Payload encryption: `Windlass(encryption=Keys(...))`, `@app.job(encrypt=True)` and `Secret[...]`."""

from windlass.secrecy.marks import Secret
from windlass.secrecy.ring import Keys, generate_key

__all__ = ["Keys", "Secret", "generate_key"]
