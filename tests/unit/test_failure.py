"""What is kept of an exception: its category, a safe message, a bounded trace, a stable fingerprint."""

import asyncio
import types

import pytest

from windlass.values.failure import (
    LONGEST_MESSAGE,
    LONGEST_TRACE,
    Category,
    classify,
    describe,
    fingerprint,
    retry_after,
    safe_text,
)

TEMPORARY, PERMANENT = Category.TEMPORARY, Category.PERMANENT
RATE_LIMIT, PROVIDER = Category.RATE_LIMIT, Category.PROVIDER


class Web(Exception):
    def __init__(self, status: object = None, **facts: object) -> None:
        super().__init__("web")
        if status is not None:
            self.status_code = status
        for name, value in facts.items():
            setattr(self, name, value)


class ValidationError(ValueError): ...


class Deep(ValidationError): ...


class RateLimitError(Exception): ...


@pytest.mark.parametrize(
    ("error", "category"),
    [
        (ValueError("x"), TEMPORARY),
        (ConnectionError("x"), TEMPORARY),
        (TimeoutError("x"), TEMPORARY),
        (asyncio.CancelledError(), TEMPORARY),
        (TypeError("x"), PERMANENT),
        (FileNotFoundError("x"), PERMANENT),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), PERMANENT),
        (NotImplementedError(), PERMANENT),
        (ValidationError(), PERMANENT),
        (Deep(), PERMANENT),
        (RateLimitError(), RATE_LIMIT),
        (Web(429), RATE_LIMIT),
        (Web(404), PERMANENT),
        (Web(408), TEMPORARY),
        (Web(425), TEMPORARY),
        (Web(500), PROVIDER),
        (Web(503), PROVIDER),
        (Web(200), TEMPORARY),
        (Web("404"), TEMPORARY),
        (Web(status=422), PERMANENT),
        (Web(response=types.SimpleNamespace(status_code=429)), RATE_LIMIT),
        (Web(503, retryable=False), PERMANENT),
        (Web(404, retryable=True), TEMPORARY),
        (Web(404, category="rate-limit"), RATE_LIMIT),
        (Web(404, category="no such category"), PERMANENT),
        (Web(404, category=Category.PROVIDER), PROVIDER),
    ],
    ids=repr,
)
def test_categories(error: BaseException, category: Category) -> None:
    assert classify(error) is category


def test_rules_by_class_take_the_nearest() -> None:
    rule = {Exception: "permanent", OSError: Category.PROVIDER, ConnectionError: "rate-limit"}
    assert classify(ConnectionResetError(), rule) is RATE_LIMIT
    assert classify(FileNotFoundError(), rule) is PROVIDER
    assert classify(ValueError(), rule) is PERMANENT
    assert classify(KeyboardInterrupt(), rule) is TEMPORARY


def test_rules_by_function_may_pass() -> None:
    def rule(error: BaseException) -> str | None:
        return "provider" if "upstream" in str(error) else None

    assert classify(TypeError("upstream"), rule) is PROVIDER
    assert classify(TypeError("mine"), rule) is PERMANENT


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        (Web(), None),
        (Web(retry_after=5), 5.0),
        (Web(retry_after="7.5"), 7.5),
        (Web(retry_after=-1), None),
        (Web(retry_after=float("nan")), None),
        (Web(retry_after=10**9), None),
        (Web(retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), None),
        (Web(response=types.SimpleNamespace(headers={"Retry-After": "30"})), 30.0),
        (Web(response=types.SimpleNamespace(headers={"retry-after": "0"})), 0.0),
        (Web(response=types.SimpleNamespace(headers=None)), None),
        (Web(response=types.SimpleNamespace(headers=[("Retry-After", "3")])), None),
        (Web(retry_after=10**400), None),
        (Web(retry_after="soon", response=types.SimpleNamespace(headers={"Retry-After": "3"})), 3.0),
    ],
)
def test_the_wait_that_an_error_asks_for(error: BaseException, wait: float | None) -> None:
    assert retry_after(error) == wait


def test_an_error_described() -> None:
    try:
        raise ValueError("no\x00good \ud800")
    except ValueError as error:
        info = describe(error, PERMANENT, reason="why")
    assert (info.type, info.message, info.category, info.reason) == (
        "ValueError",
        "no\\x00good \\ud800",
        "permanent",
        "why",
    )
    assert "test_an_error_described" in info.traceback
    info.traceback.encode()
    assert len(info.fingerprint) == 16


def test_an_error_without_text() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("cannot")

    info = describe(Mute())
    assert "Mute" in info.message
    assert "RuntimeError" in info.message


def test_an_error_whose_attributes_raise() -> None:
    class Thorny(Exception):
        @property
        def response(self) -> object:
            raise RuntimeError("not yet")

        category = retryable = status = retry_after = response

    assert classify(Thorny()) is TEMPORARY
    assert retry_after(Thorny()) is None


def test_text_is_bounded_and_keeps_both_ends() -> None:
    text = safe_text("begin" + "x" * 50_000 + "end", 1_000)
    assert len(text) <= 1_000
    assert text.startswith("begin")
    assert text.endswith("end")
    assert "left out" in text
    assert safe_text("x" * 1_000, 1_000) == "x" * 1_000
    assert len(safe_text("x" * 100, 30)) <= 30
    assert safe_text("", 10) == ""


def test_a_deep_trace_is_bounded() -> None:
    def dig(n: int) -> None:
        if n == 0:
            raise ValueError("y" * 10_000)
        dig(n - 1)

    try:
        dig(500)
    except ValueError as error:
        info = describe(error)
    assert len(info.message) <= LONGEST_MESSAGE
    assert len(info.traceback) <= LONGEST_TRACE


def test_fingerprints_group_equal_failures() -> None:
    def fail(text: str, kind: type[Exception] = ValueError) -> str:
        try:
            raise kind(text)
        except Exception as error:
            return describe(error).fingerprint

    def elsewhere() -> str:
        try:
            raise ValueError("a")
        except Exception as error:
            return describe(error).fingerprint

    assert fail("a") == fail("b")
    assert fail("a") != fail("a", KeyError)
    assert fail("a") != elsewhere()
    assert fingerprint("E", None) == fingerprint("E", None)


@pytest.mark.parametrize("error", [NameError, AttributeError, KeyError, ImportError, ZeroDivisionError, AssertionError])
def test_defects_of_the_code_are_tried_again_unless_a_rule_says_otherwise(error: type[Exception]) -> None:
    """A deploy may mend them; guides/errors.md has this rule for who wants them given up."""
    bugs = dict.fromkeys(
        (NameError, AttributeError, ImportError, AssertionError, ArithmeticError, LookupError), "permanent"
    )
    assert classify(error("x")) is Category.TEMPORARY
    assert classify(error("x"), bugs) is Category.PERMANENT
