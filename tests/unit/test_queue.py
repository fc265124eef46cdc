"""Names of queues, kinds, tags and users."""

import pytest

from windlass.errors import InvalidOption
from windlass.values.queue import LONGEST_NAME, QueueChange, QueueInfo, check_name


@pytest.mark.parametrize("name", ["a", "email-sending", "mail.send", "A_b:c@d/e+f", "0", "x" * LONGEST_NAME])
def test_names(name: str) -> None:
    assert check_name(name, "queue") == name


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        " ",
        "a b",
        "a\n",
        "\na",
        "a*",
        "é",
        "日本",
        "a{b}",
        "a'b",
        'a"b',
        "a\x00",
        "x" * (LONGEST_NAME + 1),
        5,
        None,
        b"a",
    ],
    ids=repr,
)
def test_wrong_names(wrong: object) -> None:
    with pytest.raises(InvalidOption) as refused:
        check_name(wrong, "queue")
    assert refused.value.field == "queue"
    assert len(str(refused.value)) < 1_000


def test_a_change_of_nothing() -> None:
    assert QueueChange().paused is None
    assert QueueInfo(name="q") == QueueInfo(name="q", paused=False, paused_at=None)
