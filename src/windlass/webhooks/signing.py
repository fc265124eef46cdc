"""Signatures as the Standard Webhooks specification has them: HMAC-SHA256 over id, time and body."""

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence

from windlass.errors import InvalidOption

MARK = "whsec_"
_BYTES = 32
_SHORTEST, _LONGEST = 24, 64


def new_secret() -> str:
    """A fresh secret, as receivers get it."""
    return MARK + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def check_secret(text: object) -> str:
    """A secret that somebody brought: `whsec_` and 24 to 64 bytes in base64; else `InvalidOption`, which does not show it."""
    try:
        if isinstance(text, str) and text.startswith(MARK) and _SHORTEST <= len(_key(text)) <= _LONGEST:
            return text
    except binascii.Error:
        pass
    raise InvalidOption(
        f"secret must be {MARK} and {_SHORTEST} to {_LONGEST} bytes in base64",
        field="secret",
        limit=f"{_SHORTEST}..{_LONGEST} bytes",
        mend="leave it out, and one is made",
    )


def headers(secrets: Sequence[str], id: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of a message sent at `at` (seconds since 1970): one signature for each secret, so that a receiver may know the
    old one or the new one."""
    signed = f"{id}.{at}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(_key(secret), signed, "sha256")).decode() for secret in secrets]
    return {
        "webhook-id": id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(MARK), validate=True)
