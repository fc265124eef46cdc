"""Posts without a model: the sentences of a text that say most, by the words that it comes back to."""

import re
from collections import Counter
from collections.abc import Sequence

import msgspec

from windlass.catalogue.content_limits import LIMITS, Platform, length_of

_SENTENCE = re.compile(r"(?<=[.!?\u2026\u3002])[\"'\u201d)]*\s+|\n{2,}")
_WORD = re.compile(r"[^\W\d_][\w'\u2019-]*", re.UNICODE)
_LONGEST = 60
"""Words of a sentence that is still one."""
_STOP_WORDS = (
    "about above after again against all also although always among and another any are around because been before being below"
    " between both but can cannot could did does doing done down during each either else even ever every few first for from"
    " further get gets getting goes going got had has have having her here hers him his how however into its itself just keep"
    " last less let like made make makes many may might more most much must need neither never next nor not nothing now off"
    " often once one only onto other others our out over own per put really said same say says see shall she should since some"
    " something still such take than that the their them then there these they thing things this those through too two under"
    " until upon use used uses using very want was way well were what when where whether which while who whom whose why will"
    " with within without would yes yet you your yours it's don't that's aber als auch auf aus bei bin bis das dass dem den der"
    " des die doch ein eine einem einen einer eines er es f\u00fcr hat ich ihr im in ist ja kein mich mit nach nicht noch nur"
    " oder ohne sein sich sie sind so \u00fcber um und uns vom von vor war was wenn wie wir wird zu zum zur les des une que qui"
    " dans est pas pour sur avec sont mais plus par los las una que por con para del como m\u00e1s pero sus"
)
_STOP = frozenset(_STOP_WORDS.split())


class Draft(msgspec.Struct, frozen=True):
    """A post before it is made to fit."""

    platform: str
    text: str
    hashtags: tuple[str, ...] = ()
    media_hint: str = ""


class Drafts(msgspec.Struct, frozen=True):
    """What a provider writes, a model by its schema."""

    summary: str
    keywords: tuple[str, ...]
    posts: tuple[Draft, ...]


def extract(text: str, platforms: Sequence[Platform], variants: int) -> Drafts:
    """Nothing is invented: sentences of the text, in its order, those that score best first to be chosen."""
    said = sentences(text)
    words = Counter(word for sentence in said for word in _words(sentence))
    ranked = sorted(range(len(said)), key=lambda n: (-_score(said[n], n, words), n))
    keywords = keywords_of(words)
    summary = _chosen(said, ranked, most=3, length=600)
    posts: list[Draft] = []
    for platform in platforms:
        for variant in range(variants):
            turned = [*ranked[variant:], *ranked[:variant]]
            length = LIMITS[platform].length
            body = _chosen(said, turned, most=1 if length < 600 else 5, length=length - 60, platform=platform)
            posts.append(Draft(platform, body, keywords[:3]))
    return Drafts(summary, keywords, tuple(posts))


def sentences(text: str) -> list[str]:
    """The sentences of a text; at least one."""
    found = [" ".join(part.split()) for part in _SENTENCE.split(text)]
    return [part for part in found if part] or [" ".join(text.split())]


def keywords_of(words: Counter[str]) -> tuple[str, ...]:
    """The words that come most often; of those that come once, the longest."""
    ordered = sorted(words, key=lambda word: (-words[word], -len(word), word))
    return tuple(ordered[:8])


def _words(sentence: str) -> list[str]:
    found = (word.lower().replace("\u2019", "'") for word in _WORD.findall(sentence))
    return [word for word in found if len(word) > 2 and word not in _STOP]


def _score(sentence: str, place: int, words: Counter[str]) -> float:
    """How much of what the text is about is in it; beginnings count a little more, questions and lists less."""
    found = _words(sentence)
    if not 3 <= len(sentence.split()) <= _LONGEST or not found:
        return 0.0
    weight = sum(words[word] - 1 for word in set(found)) + 0.5 * len(set(found))
    return weight / (4 + len(found)) * (1.25 if place == 0 else 1.0) * (0.7 if sentence.endswith("?") else 1.0)


def _chosen(said: Sequence[str], ranked: Sequence[int], *, most: int, length: int, platform: Platform = "blog") -> str:
    """The best sentences that fit together, in the order of the text; the very best in any case."""
    chosen = [ranked[0]]
    fitting = next((n for n in ranked if length_of(said[n], platform) <= length), ranked[0])
    if most == 1:
        return said[fitting]
    for n in ranked[1:]:
        if len(chosen) == most:
            break
        if length_of(" ".join(said[each] for each in (*chosen, n)), platform) <= length:
            chosen.append(n)
    return " ".join(said[n] for n in sorted(chosen))
