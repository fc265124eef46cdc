"""What a job carries, as its record keeps it: arguments, options, tags."""

from typing import Any

import msgspec

from windlass.values.job import NewJob

RICH = 64
"""The flag of a payload that is msgpack."""
_encode = msgspec.msgpack.Encoder().encode
_SHORT = 32
_NO_OPTIONS, _NO_TAGS = (b"\xa0", b"\xd9\0", b"\xda\0\0"), (b"\x90", b"\x80", b"\xa0")
_NOTHING_MORE = tuple(options + tags for options in _NO_OPTIONS for tags in _NO_TAGS)


def payload(job: NewJob[Any], id: bytes) -> tuple[int, bytes]:
    """(flag, bytes): short plain arguments as they are, anything else as msgpack of arguments, options and tags.

    Lua keeps every string once, and of a long one its hash knows the length, the last byte and a few between: thousands of
    records that differ by a number somewhere in their arguments stood in one chain, and storing one took three to eight
    times as long. So headers have one of three lengths each and empty tags one of three bytes, as the id has it. To readers all
    are the same.
    """
    args, salt = job.args.encode(), id[15]
    if job.options or job.tags:
        options = job.options.encode()
        tags = _encode(job.tags) if job.tags else _NO_TAGS[salt % 3]
        return RICH, b"\x93" + _text_header(len(args), salt // 3 % 3) + args + _text_header(
            len(options), salt // 9 % 3
        ) + options + tags
    if len(args) < _SHORT:
        return 0, args
    return RICH, b"\x93" + _text_header(len(args), salt % 3) + args + _NOTHING_MORE[salt // 3 % 9]


def _text_header(n: int, form: int) -> bytes:
    """Of a msgpack string: the shortest header, or one that is longer than need be."""
    if n >= 65_536 or form == 2:
        return b"\xdb" + n.to_bytes(4, "big")
    if n >= 256 or form == 1:
        return b"\xda" + n.to_bytes(2, "big")
    return b"\xd9" + bytes((n,))
