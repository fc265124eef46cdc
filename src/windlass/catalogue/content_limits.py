"""What platforms take, kept to in code: a post is shortened until it fits, whoever wrote it."""

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias

Platform: TypeAlias = Literal["twitter", "linkedin", "facebook", "instagram", "threads", "blog"]

_URL = re.compile(r"https?://[^\s<>\"]+", re.IGNORECASE)
_URL_LENGTH = 23
"""Characters that X counts for any link."""
_LIGHT = ((0, 4351), (8192, 8205), (8208, 8223), (8242, 8247))
"""Code points that X counts as one; all others are two."""
_END = re.compile(r"(?<=[.!?\u2026])\s")
_TAG = re.compile(r"[^\w]", re.UNICODE)


class Limit(NamedTuple):
    """How long a post may be, and how many hashtags it may have."""

    length: int
    tags: int


LIMITS: dict[Platform, Limit] = {
    "twitter": Limit(280, 10),
    "linkedin": Limit(3_000, 30),
    "facebook": Limit(5_000, 30),
    "instagram": Limit(2_200, 30),
    "threads": Limit(500, 1),
    "blog": Limit(20_000, 0),
}
"""Facebook and blogs take more; nobody reads it."""


def length_of(text: str, platform: Platform) -> int:
    """How long a post is as the platform counts: X weighs characters and counts links as 23, the others count UTF-16 units."""
    if platform != "twitter":
        return len(text.encode("utf-16-le", "replace")) // 2
    links = _URL.findall(text)
    return _URL_LENGTH * len(links) + sum(_weight(char) for char in _URL.sub("", text))


def hashtag(text: str) -> str:
    """A hashtag of words: `#DeadLetters`; empty if no letter is left."""
    words = [_TAG.sub("", word) for word in text.replace("-", " ").replace("#", " ").split()]
    joined = "".join(word[:1].upper() + word[1:] for word in words if word)
    return f"#{joined[:60]}" if joined and not joined.isdigit() else ""


def fit(text: str, tags: Iterable[str], platform: Platform, most_tags: int) -> tuple[str, tuple[str, ...]]:
    """The post with its hashtags behind it, and those that are there: first hashtags are left out until it fits, then it ends
    with the last sentence that does, or the last word."""
    limit = LIMITS[platform]
    body = _plain(text)
    wanted = dict.fromkeys(made for tag in tags if (made := hashtag(tag)))
    there = [tag for tag in wanted if tag.lower() not in body.lower()][: min(most_tags, limit.tags)]
    while there and length_of(_joined(body, there), platform) > limit.length:
        there.pop()
    if length_of(body, platform) > limit.length:
        body = _shortened(body, platform, limit.length)
    return _joined(body, there), tuple(there)


def _joined(body: str, tags: Iterable[str]) -> str:
    line = " ".join(tags)
    return f"{body}\n\n{line}" if line else body


def _plain(text: str) -> str:
    """Without control characters and lone surrogates, paragraphs kept."""
    kept = "".join(char for char in text if char == "\n" or (char.isprintable() and not "\ud800" <= char <= "\udfff"))
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+", " ", kept)).strip()


def _shortened(body: str, platform: Platform, limit: int) -> str:
    low, high = 0, len(body)
    while low < high:  # the longest beginning that fits with a mark behind it
        middle = (low + high + 1) // 2
        if length_of(body[:middle].rstrip() + "\u2026", platform) <= limit:
            low = middle
        else:
            high = middle - 1
    beginning = body[:low]
    ends = [found.start() for found in _END.finditer(body[: low + 1])]
    if ends and ends[-1] >= low // 2:
        return body[: ends[-1]].rstrip()
    words = beginning.rsplit(None, 1)
    cut = words[0] if len(words) > 1 and len(words[0]) >= low // 2 and not body[low : low + 1].isspace() else beginning
    return cut.rstrip(" ,;:-\n") + "\u2026"


def _weight(char: str) -> int:
    code = ord(char)
    return 1 if any(first <= code <= last for first, last in _LIGHT) else 2
