"""What the answers of mail servers mean."""

from typing import NoReturn

from windlass import Category, RateLimited, WindlassError

_NO_SUCH_BOX = ("5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1")


class MailRefused(WindlassError):
    """The server said no, so nothing was sent. `code`, `text`; `category` says whether it will say yes another time."""

    code = "mail-refused"

    def __init__(self, message: str, *, category: str = Category.PERMANENT, **facts: object) -> None:
        super().__init__(message, category=category, **facts)
        self.category = category


class AnswerLost(WindlassError):
    """The message left, and the server's answer did not come: it may have been sent."""

    code = "answer-lost"
    category = Category.HELD


def refuse(code: int, text: str, pause: float, recipient: str | None = None) -> NoReturn:
    """Raise what an SMTP answer means: 421 and 4xx of rates put the job off, other 4xx may pass, 53x is our account's fault,
    other 5xx are final."""
    asked = "" if recipient is None else f", asked for {recipient},"
    told = f"the mail server{asked} answered {code} {text[:300]}"
    facts: dict[str, object] = {"smtp": code, "text": text[:300], "recipient": recipient}
    lower = text.lower()
    grey = "greylist" in lower or "graylist" in lower or "grey list" in lower
    if code == 421 or (400 <= code < 500 and not grey and text.lstrip().startswith("4.7.")):
        raise RateLimited(told, after=pause)
    if code in (530, 534, 535, 538):
        raise MailRefused(told, category=Category.PROVIDER, **facts)
    if 400 <= code < 500:
        raise MailRefused(told, category=Category.TEMPORARY, **facts)
    raise MailRefused(told, category=Category.PERMANENT, **facts)


def is_gone(code: int, text: str) -> bool:
    """Whether an answer says that there is no such box, and never will be: it goes on the suppression list."""
    status = text.split(" ", 1)[0]
    return code in (550, 551, 553) and (status in _NO_SUCH_BOX or not status.startswith("5."))


__all__ = ["AnswerLost", "MailRefused", "is_gone", "refuse"]
