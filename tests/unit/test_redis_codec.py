"""Both sides of the packed records agree: Python's codec and prelude.lua."""

import re
from importlib import resources

import pytest

from tests.store.kit import new
from windlass.errors import InvalidOption
from windlass.store.redis import codec
from windlass.store.redis.ledger import Ledger
from windlass.store.redis.scripts import load_all, script
from windlass.values.job import LEDGER, RECORD, UniqueKey
from windlass.values.states import State

PRELUDE = resources.files("windlass.store.redis").joinpath("prelude.lua").read_text("utf-8")
ENDS = resources.files("windlass.store.redis").joinpath("ends.lua").read_text("utf-8")


def numbers(text: str, first: str) -> dict[str, int]:
    """The names and numbers of a Lua line `local A, B = 1, 2`."""
    line = re.search(rf"^local ({first}\b.*?) = ([\d, ]+)", text, re.MULTILINE)
    assert line
    return dict(zip(line[1].split(", "), map(int, line[2].split(", ")), strict=True))


def test_states_have_the_same_numbers() -> None:
    assert {name.lower(): n for name, n in numbers(PRELUDE, "BLOCKED").items()} == {
        str(state): codec.NUMBER[state] for state in State
    }


def test_flags_have_the_same_bits() -> None:
    for name, bit in numbers(PRELUDE, "UNIQUE").items():
        assert getattr(codec, name) == bit
    assert numbers(PRELUDE, "CANCELLING")["CANCELLING"] == codec.CANCELLING


def test_modes_and_policies_have_the_same_numbers() -> None:
    modes = numbers(ENDS, "FINISHED_MODE")
    assert [name.removesuffix("_MODE").lower() for name in modes] == list(codec.MODES)
    policies = numbers(ENDS, "EDGE_CANCEL")
    assert {name.removeprefix("EDGE_").lower(): n for name, n in policies.items()} == {
        name: number for number, name in enumerate(codec.POLICIES, 1)
    }


def test_a_mutable_record_reads_back() -> None:
    standing = codec.Standing(
        State.RETRYING,
        255,
        1,
        2**48 - 1,
        2**47,
        2**53 - 1,
        2**53,
        1,
        2,
        1_000,
        65_535,
        2**24 - 1,
        "wörker",
        "whý",
        "kind:x",
    )
    assert codec.read_state(codec.write_state(standing)) == standing


@pytest.mark.parametrize("special", [False, True])
def test_an_immutable_record_reads_back(special: bool) -> None:
    more = {"unique": UniqueKey(key="kéy"), "expires_at": 2**52} if special else {}
    job = new("kínd", queue="quéue", args='{"a": "é"}', priority=-100, max_attempts=1_000, runtime="process", **more)
    parents = [codec.id_text(bytes(range(16)))] if special else []
    head = codec.read_head(codec.whole_record(job, 1_800_000_000_000_000, parents, 0))
    assert (head.kind, head.queue, head.args, head.priority, head.most) == ("kínd", "quéue", '{"a": "é"}', -100, 1_000)
    assert (head.created, head.flags & 3, head.options, head.tags) == (1_800_000_000_000_000, 2, "", ())
    assert (head.key, head.expires, list(head.parents)) == (("kéy", 2**52, parents) if special else (None, None, []))


def test_a_plain_record_costs_little_more_than_its_arguments() -> None:
    job = new("mail.send", args="x" * 130)
    assert len(codec.whole_record(job, 1, (), 0)) <= 130 + 40


def test_a_record_names_everything_that_readers_expect() -> None:
    job = new()
    id = codec.need_id(job.id)
    record = codec.record_of(id, codec.whole_record(job, 5, (), 0), b"", (b"", b"", b"", b""), Ledger())
    assert tuple(record) == (*RECORD, *LEDGER)
    assert (record["state"], record["run_at"], record["attempt"]) == ("waiting", 5, 0)


@pytest.mark.parametrize("size", [0, 31, 32, 255, 256, 65_535, 65_536])
def test_binary_is_a_msgpack_string_of_any_length(size: int) -> None:
    assert codec.unpack(codec.pack([codec.binary(b"x" * size), 1])) == ["x" * size, 1]


def test_names_have_their_length() -> None:
    with pytest.raises(InvalidOption):
        codec.batch([new("k" * 256)])


def test_every_script_is_one_text_with_its_own_sha() -> None:
    load_all()
    files = {file.name for file in resources.files("windlass.store.redis").iterdir() if file.name.endswith(".lua")}
    verbs = {name.removesuffix(".lua") for name in files} - {
        "prelude",
        "ends",
        "insert",
        "revive",
        "limit",
        "lines",
        "lease",
        "turns",
        "check_lines",
        "check_letters",
        "ledger",
        "walks",
        "complete",
        "plain",
        "serve",
    }
    assert len({script(verb).sha for verb in verbs}) == len(verbs)
    assert all("redis.call" in script(verb).text for verb in verbs)


@pytest.mark.parametrize(
    "name", ["FUNCTION", "ZMPOP", "LMPOP", "SINTERCARD", "EXPIRETIME", "redis.acl_check_cmd", "BLMPOP"]
)
def test_nothing_newer_than_6_2_is_used(name: str) -> None:
    load_all()
    for file in resources.files("windlass.store.redis").iterdir():
        if file.name.endswith(".lua"):
            assert f"'{name}'" not in file.read_text("utf-8"), file.name
