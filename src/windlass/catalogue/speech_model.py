"""A small language for the offline recogniser: word pairs of given phrases, the words' sounds, a grammar of whole sentences.

No imports but the standard library's, since the recogniser's process runs it by path.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_KEPT = 0.9
"""The share of probability that stays with the pairs that were given; the rest is for any other pair of known words."""


def words_of(phrase: str) -> list[str]:
    """The words of a phrase as the dictionary spells them; numbers up to 99 are said."""
    spelled = re.sub(r"\d+", lambda found: f" {_number(int(found[0]))} ", phrase.lower().replace("\u2019", "'"))
    return _WORD.findall(spelled)


def _number(value: int) -> str:
    if value < len(_ONES):
        return _ONES[value]
    if value < 100:
        tens, ones = divmod(value, 10)
        return f"{_TENS[tens]} {_ONES[ones]}" if ones else _TENS[tens]
    return " ".join(_ONES[int(digit)] for digit in str(value))


def arpa(phrases: Iterable[Sequence[str]]) -> str:
    """A language model of single words and pairs in ARPA form."""
    singles: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for words in phrases:
        said = ["<s>", *words, "</s>"]
        singles.update(said)
        pairs.update(pairwise(said))
    total = sum(count for word, count in singles.items() if word != "<s>")
    lines = ["\\data\\", f"ngram 1={len(singles)}", f"ngram 2={len(pairs)}", "", "\\1-grams:"]
    for word, count in sorted(singles.items()):
        chance = -99.0 if word == "<s>" else math.log10(count / total)
        lines.append(f"{chance:.4f} {word} {math.log10(1 - _KEPT):.4f}")
    lines += ["", "\\2-grams:"]
    for (first, second), count in sorted(pairs.items()):
        lines.append(f"{math.log10(_KEPT * count / singles[first]):.4f} {first} {second}")
    return "\n".join([*lines, "", "\\end\\", ""])


def dictionary(words: set[str], full: Iterable[str]) -> tuple[str, set[str]]:
    """The part of a pronouncing dictionary that these words need, and the words that it lacks. With all of its 134,000 words
    a small language model takes ten seconds to load."""
    kept: list[str] = []
    known: set[str] = set()
    for line in full:
        spelled = line.split(" ", 1)[0]
        word = spelled.split("(", 1)[0]
        if word in words:
            kept.append(line.rstrip("\n"))
            known.add(word)
    return "\n".join([*kept, ""]), words - known


def jsgf(sentences: Iterable[Sequence[str]]) -> str:
    """A grammar of just these sentences."""
    choices = " | ".join(f"( {' '.join(words)} )" for words in sentences if words)
    return f"#JSGF V1.0;\ngrammar given;\npublic <said> = {choices} ;\n"
