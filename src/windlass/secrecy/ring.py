"""The keys of an app: by id, the first one writes, all of them read. AES-256-GCM, from the extra `windlass[encryption]`."""

import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import sha256
from importlib import import_module
from typing import Any, cast

from windlass.errors import EncryptionKeyMissing, InvalidOption, SealBroken, SettingsError

SIZE = 32
_NONCE = 12
_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_VERSION = "1"
_LOOKUP = b"windlass lookup 1"
_SUBKEY = b"windlass payload 1"
SHARED = "unique "
"""How a subject begins that is no job's id: what may pass from job to job under one unique key."""


class Keys:
    """`Keys({"2026-11": text, "2025-11": older})`, or the same as text, `"2026-11:<text>,2025-11:<text>"`.

    A key is 32 random bytes as URL-safe base64 (`windlass encryption generate`). The first encrypts; every one decrypts, so
    that a new key goes in front and an old one leaves when nothing is encrypted with it any more. The one whose id sorts
    first makes the keyed hashes of unique, cache and limit keys: with dates as ids the oldest, wherever a new one is put.
    """

    __slots__ = ("_keys", "_lookup", "_writes")

    def __init__(self, keys: Mapping[str, str | bytes] | str) -> None:
        pairs = dict(_split(keys)) if isinstance(keys, str) else dict(keys)
        self._keys = {_read_id(id): _read_key(id, key) for id, key in pairs.items()}
        if not self._keys:
            raise _bad("encryption", "at least one key", "`windlass encryption generate` makes one")
        self._writes = next(iter(self._keys))
        self._lookup = hmac.digest(self._keys[min(self._keys)], _LOOKUP, sha256)

    def __repr__(self) -> str:
        return f"Keys({', '.join(self._keys)})"

    def __reduce__(self) -> Any:
        raise TypeError("encryption keys are not to be pickled")

    def __contains__(self, id: str) -> bool:
        return id in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    @property
    def writes(self) -> str:
        """The id of the key that encrypts."""
        return self._writes

    def digest(self, text: str) -> str:
        """A keyed hash of 40 hex digits: equal for equal texts, and nobody without the key can try texts out."""
        return hmac.digest(self._lookup, text.encode("utf-8", "surrogatepass"), sha256).hex()[:40]

    def seal(self, plain: str, kind: str, subject: str, purpose: str) -> str:
        """A token that opens only for this kind, subject (a job's id, or `SHARED...`) and purpose."""
        nonce = secrets.token_bytes(_NONCE)
        id = self._writes
        head = f"{_VERSION}.{id}.{_text(subject.encode())}"
        cipher = _cipher(self._keys[id], kind, subject)
        sealed = cipher.encrypt(nonce, plain.encode("utf-8", "surrogatepass"), _bound(head, kind, subject, purpose))
        return f"{head}.{_text(nonce + sealed)}"

    def open(self, token: str, kind: str, subject: str, purpose: str) -> str:
        """The plain text of a token; raises `EncryptionKeyMissing`, `SealBroken`."""
        version, id, named, body = read_token(token)
        if version != _VERSION:
            raise SealBroken(
                f"{purpose} of {kind} is encrypted in a form of a newer version", kind=kind, purpose=purpose
            )
        key = self._keys.get(id)
        if key is None:
            raise missing(id, kind, self)
        written = subject_of(token)
        subject = written if written.startswith(SHARED) else subject
        raw = _bytes(body)
        bound = _bound(f"{version}.{id}.{named}", kind, subject, purpose)
        try:
            plain = _cipher(key, kind, subject).decrypt(raw[:_NONCE], raw[_NONCE:], bound)
        except Exception as error:  # InvalidTag, or too short to hold one: the library's types are not imported here
            raise SealBroken(
                f"{purpose} of {kind} cannot be decrypted with key {id!r}: it was changed, or belongs to another job or field",
                kind=kind,
                purpose=purpose,
                key=id,
            ) from error
        return plain.decode("utf-8", "surrogatepass")


def generate_key() -> str:
    """A new key as text."""
    return _text(secrets.token_bytes(SIZE))


def read_token(token: str) -> tuple[str, str, str, str]:
    """Version, key id, subject (often empty) and body of a token; raises `SealBroken`."""
    parts = token.split(".")
    if len(parts) != 4:
        raise SealBroken("what is marked as encrypted is no token of Windlass")
    return parts[0], parts[1], parts[2], parts[3]


def subject_of(token: str) -> str:
    """For what a token says it was made. Only opening it proves that."""
    return _bytes(read_token(token)[2]).decode("utf-8", "replace")


def missing(id: str | None, kind: str, keys: Keys | None) -> EncryptionKeyMissing:
    """The error of a process that lacks a key."""
    if id is None:
        text, mend = f"{kind} is encrypted, and this process has no encryption key", "set WINDLASS_ENCRYPTION_KEYS"
    else:
        has = f"it has {', '.join(keys)}" if keys else "it has none"
        text = f"{kind} is encrypted with key {id!r}, which this process does not have ({has})"
        mend = f"add the key {id!r} to WINDLASS_ENCRYPTION_KEYS, then requeue the job"
    return EncryptionKeyMissing(text, key=id, kind=kind, mend=mend)


def _cipher(key: bytes, kind: str, subject: str) -> Any:
    """A key of each job's own, so that no number of jobs wears one out by its random nonces."""
    return _gcm()(hmac.digest(key, b"\x00".join((_SUBKEY, kind.encode(), subject.encode())), sha256))


@lru_cache(maxsize=1)
def _gcm() -> Any:
    try:
        return import_module("cryptography.hazmat.primitives.ciphers.aead").AESGCM
    except ImportError as error:
        raise SettingsError(
            "encryption needs the cryptography package",
            field="encryption",
            mend="pip install 'windlass[encryption]'",
        ) from error


def _bound(head: str, kind: str, subject: str, purpose: str) -> bytes:
    return "\x00".join((head, kind, subject, purpose)).encode()


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError as error:
        raise SealBroken("what is marked as encrypted is no token of Windlass") from error


def _split(text: str) -> Iterator[tuple[str, str]]:
    found: set[str] = set()
    for part in filter(None, (each.strip() for each in text.split(","))):
        id, colon, key = part.partition(":")
        if not colon or id in found:  # the text itself is a secret: it is not repeated
            raise _bad("encryption_keys", "<id>:<key>,<id>:<key>, each id once", "give each key an id")
        found.add(id)
        yield id, key


def _read_id(id: object) -> str:
    if isinstance(id, str) and _ID.fullmatch(id):
        return id
    raise _bad("encryption", "key ids of 1 to 40 letters, digits, - and _", "name keys by their month, such as 2026-11")


def _read_key(id: str, key: object) -> bytes:
    try:
        raw = _bytes(key.strip().rstrip("=")) if isinstance(key, str) else bytes(cast("bytes", key))
    except (SealBroken, TypeError, UnicodeError):
        raw = b""
    if len(raw) != SIZE or len(set(raw)) < SIZE // 4:
        raise _bad(f"encryption key {id}", "32 random bytes as base64", "`windlass encryption generate` makes one")
    return raw


def _bad(field: str, limit: str, mend: str) -> InvalidOption:
    return InvalidOption(f"{field} must be {limit}: {mend}", field=field, limit=limit, mend=mend)
