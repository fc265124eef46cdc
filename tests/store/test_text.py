"""Text comes back as it went in, whatever it holds."""

import json

import pytest

from tests.store.kit import Hand, act, end, get, new, put
from windlass.store import Store
from windlass.values.failure import describe, safe_text
from windlass.values.job import UniqueKey
from windlass.values.lease import LogLine, Progress
from windlass.values.outcome import DEFAULT_RULES, judge
from windlass.values.query import Action, AuditQuery, Swap
from windlass.values.schedule import ScheduleRow
from windlass.values.states import Event

TEXTS = {
    "ascii": "plain",
    "quotes": 'it\'s "quoted" \\ back\\slash `tick` $1 :name %s {0} ; -- DROP',
    "lines": "a\nb\r\nc\td\x0be\x0cf\x1f",
    "separators": "before\u2028between\u2029after\x85end",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 🇨🇭",
    "scripts": "日本語 العربية עברית Ελληνικά हिन्दी",
    "combining": "e\u0301 \u00e9 Z\u0351\u036b\u0343",
    "last plane": "\U0010ffff\ufffe\uffff",
    "spaces": "  kept  \u00a0\u3000",
    "safe": safe_text("nul \x00 and surrogate \ud800", 1_000),
    "empty": "",
}

JSON_TEXTS = {
    "nul": r'{"a": "x\u0000y"}',
    "lone surrogate": r'{"a": "\ud800", "b": "\udfff\ud800"}',
    "spacing": '{ "a" : [ 1 ,\n2 ] }',
    "order and repeats": '{"b": 1, "a": 2, "b": 3}',
    "big integers": '{"a": 123456789012345678901234567890, "b": -9223372036854775809, "c": 18446744073709551615}',
    "numbers": '{"a": 1.0, "b": 1e400, "c": 0.1000000000000000055, "d": -0.0, "e": 9007199254740993}',
    "empty list": '{"a": [], "b": {}, "c": [[]], "d": [{}]}',
    "raw separators": '{"a": "\u2028\u2029\x7f"}',
    "emoji": '{"a": "👩‍👩‍👧‍👦", "b": "\\ud83d\\ude00"}',
    "deep": '{"a": ' + "[" * 200 + "]" * 200 + "}",
    "null": '{"a": null}',
}


@pytest.mark.parametrize("name", JSON_TEXTS)
async def test_arguments_and_options_byte_for_byte(store: Store, name: str) -> None:
    text = JSON_TEXTS[name]
    await put(store, new(args=text, options=text))
    claim = await Hand(store).one()
    assert (claim.args, claim.options) == (text, text)


async def test_a_megabyte_of_arguments(store: Store) -> None:
    text = json.dumps({"text": "é日👍\u2028" * 70_000}, ensure_ascii=False)
    assert len(text.encode()) > 800_000
    await put(store, new(args=text), *(new(args=json.dumps({"n": n, "pad": "x" * 50_000})) for n in range(20)))
    hand = Hand(store)
    first, *rest = await hand.drain()
    assert first.args == text
    assert [json.loads(claim.args)["n"] for claim in rest] == list(range(20))
    await hand.complete(first, result=text)
    assert (await get(store, first.id)).result == json.loads(text)


@pytest.mark.parametrize(
    ("result", "value"),
    [
        ("[]", []),
        ("{}", {}),
        ("[[]]", [[]]),
        ('""', ""),
        ("0", 0),
        ("false", False),
        ("null", None),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        (r'"x\u0000y"', "x\x00y"),
        ('"\u2028 👍"', "\u2028 👍"),
        ("1.5", 1.5),
    ],
)
async def test_results(store: Store, result: str, value: object) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    await hand.complete(await hand.one(), result=result)
    kept = (await get(store, id)).result
    assert kept == value
    assert type(kept) is type(value)
    assert (await store.outcomes([id]))[id].result == value


@pytest.mark.parametrize("name", TEXTS)
async def test_texts_of_a_job(store: Store, name: str) -> None:
    text = TEXTS[name] or "x"  # names are never empty
    job = new(
        user=text, project=text, group=text, workflow=text, name=text, tags=(text, "b"), unique=UniqueKey(key=text)
    )
    await put(store, job)
    kept = await get(store, job.id)
    assert (kept.user, kept.project, kept.group, kept.workflow, kept.name) == (text,) * 5
    assert (kept.tags, kept.unique) == ((text, "b"), text)
    claim = await Hand(store).one()
    assert (claim.user, claim.project, claim.group, claim.workflow, claim.name, claim.tags) == (
        *(text,) * 5,
        (text, "b"),
    )
    (answer,) = await store.enqueue([new(unique=UniqueKey(key=text))])
    assert (answer.id, answer.created) == (job.id, False)


@pytest.mark.parametrize("name", TEXTS)
async def test_texts_of_a_run(store: Store, name: str) -> None:
    text = TEXTS[name]
    (id,) = await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    await store.report([Progress(id, claim.lease, 1.0, text), LogLine(id, claim.lease, 1, "info", text)])
    await hand.finish(end(claim, Event.FAIL, reason=text))
    job = await get(store, id)
    assert (job.progress_note or "", job.reason or "") == (text, text)
    assert [line.text for line in await store.log(id)] == [text]
    assert [attempt.reason or "" for attempt in job.attempts] == [text]


@pytest.mark.parametrize("name", TEXTS)
async def test_texts_of_operators(store: Store, name: str) -> None:
    text = TEXTS[name]
    (id,) = await put(store, new())
    await act(store, Action.CANCEL, id, actor=text, reason=text or "none")
    assert (await get(store, id)).reason == (text or "none")
    assert [entry.actor for entry in await store.audit(AuditQuery())] == [text]
    await store.exchange([Swap(space="s", key=text or "k", text=text)])
    assert [(record.key, record.text) for record in await store.records("s")] == [(text or "k", text)]
    row = ScheduleRow(key="k", spec=text, owner=text or None)
    await store.put_schedules([row], "ops")
    assert await store.schedules() == [row]


async def test_errors_with_awful_messages(store: Store) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    awful = ValueError("nul \x00, half \ud800 a pair, \u2028, 👍, " + "long " * 5_000)
    await hand.finish(judge(await hand.one(), awful, DEFAULT_RULES, "w1", 1))
    job = await get(store, id)
    assert job.error is not None
    assert job.error.message == describe(awful).message
    assert "nul \\x00, half \\ud800 a pair, \u2028, 👍" in job.error.message
    assert job.attempts[0].error == job.error
