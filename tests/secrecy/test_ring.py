"""Keys and tokens: what opens, what does not, and what the errors tell."""

import os
import pickle
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.secrecy.kit import FIRST, SECOND
from windlass import Windlass
from windlass.errors import EncryptionKeyMissing, InvalidOption, SealBroken, SettingsError
from windlass.secrecy import Keys, Secret, generate_key
from windlass.secrecy.marks import hides

KEYS = Keys({"one": FIRST})


@given(st.text())
def test_what_is_sealed_opens(text: str) -> None:
    assert KEYS.open(KEYS.seal(text, "pay", "id", "args"), "pay", "id", "args") == text


@pytest.mark.parametrize("place", [("pay", "other", "args"), ("refund", "id", "args"), ("pay", "id", "arg card")])
def test_a_token_opens_only_in_its_place(place: tuple[str, str, str]) -> None:
    with pytest.raises(SealBroken, match="changed, or belongs to another job or field"):
        KEYS.open(KEYS.seal("x", "pay", "id", "args"), *place)


def test_a_changed_token_does_not_open() -> None:
    token = KEYS.seal("secret text", "pay", "id", "args")
    for place in range(len(token)):
        changed = token[:place] + ("B" if token[place] != "B" else "C") + token[place + 1 :]
        if changed.rstrip("=") == token:
            continue
        try:
            opened = KEYS.open(changed, "pay", "id", "args")
        except (SealBroken, EncryptionKeyMissing):
            continue
        # The last character of base64 has bits that count for nothing.
        assert (opened, place) == ("secret text", len(token) - 1)


def test_one_of_a_unique_key_is_no_pass_to_another_key() -> None:
    token = KEYS.seal("x", "pay", "unique aaaa", "args")
    assert KEYS.open(token, "pay", "any job of the key", "args") == "x"
    head, id, _, body = token.split(".")
    other = KEYS.seal("y", "pay", "unique bbbb", "args").split(".")[2]
    with pytest.raises(SealBroken):
        KEYS.open(".".join((head, id, other, body)), "pay", "j", "args")


def test_nonces_do_not_repeat_across_a_fork() -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, "\n".join(KEYS.seal("", "k", "i", "p") for _ in range(500)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        theirs = pipe.read().split("\n")
    os.waitpid(child, 0)
    ours = [KEYS.seal("", "k", "i", "p") for _ in range(500)]
    assert len({*theirs, *ours}) == 1_000


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(EncryptionKeyMissing, match=r"key 'one'.*it has two") as caught:
        Keys({"two": SECOND}).open(KEYS.seal("x", "pay", "id", "args"), "pay", "id", "args")
    assert caught.value.key == "one"


@pytest.mark.parametrize(
    "given",
    ["", "x", "one:short", f"one:{FIRST},one:{SECOND}", "a b:" + FIRST, "one:" + "A" * 43],
    ids=["empty", "no key", "short", "twice", "blank in the id", "zeros"],
)
def test_bad_keys_are_refused_without_being_told(given: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        Keys(given)
    assert FIRST not in str(caught.value) + repr(caught.value.facts)


def test_keys_are_in_no_repr() -> None:
    app = Windlass("sqlite://:memory:", encryption=Keys({"one": FIRST}))
    assert repr(app.secrecy.keys) == "Keys(one)"
    assert FIRST not in repr(Windlass("sqlite://:memory:", encryption_keys=f"one:{FIRST}").settings)
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(KEYS)


def test_the_environment_gives_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINDLASS_ENCRYPTION_KEYS", f"two:{SECOND},one:{FIRST}")
    keys = Windlass("sqlite://:memory:").secrecy.keys
    assert keys is not None
    assert (list(keys), keys.writes) == (["two", "one"], "two")
    monkeypatch.setenv("WINDLASS_ENCRYPTION_KEYS", f"two:{SECOND[:-4]}")
    with pytest.raises(SettingsError) as caught:
        Windlass("sqlite://:memory:")
    assert SECOND[:-4] not in str(caught.value) + repr(caught.value.facts)


def test_secret_is_found_wherever_it_stands() -> None:
    class Card:
        number: Secret[str]

    hints: list[Any] = [Secret[str], Secret[str] | None, list[Secret[str]], dict[str, Secret[int]], Card, list[Card]]
    assert all(map(hides, hints))
    assert not any(map(hides, [str, list[str], Any, None, int | None, dict[str, Any]]))


def test_nothing_of_it_is_imported_without_it() -> None:
    code = "import sys, windlass; windlass.Windlass('sqlite://:memory:'); print('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


def test_generated_keys_are_good() -> None:
    assert len({generate_key() for _ in range(100)}) == 100
    assert all(Keys({"k": generate_key()}).writes == "k" for _ in range(100))
