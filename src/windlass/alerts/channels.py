"""Channels: where alerts are told. E-mail by SMTP, a signed webhook, a Slack-compatible address, the log."""

import asyncio
import logging
import smtplib
import ssl
import time
from email.message import EmailMessage
from email.policy import SMTP as MAIL_POLICY
from email.utils import formatdate, parseaddr
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from windlass.declare.refusal import refusal
from windlass.errors import SettingsError, WindlassError
from windlass.outbound import AddressRefused, Outbound
from windlass.values.queue import check_name
from windlass.webhooks import signing

SPACE = "alert-channel"
LOG = "log"
Way: TypeAlias = Literal["email", "webhook", "slack", "log"]
MOST_RECIPIENTS = 50
_TIMEOUT = 20.0
_LONGEST_SUBJECT = 200
_LEVEL = {"firing": logging.ERROR, "still-firing": logging.ERROR, "resolved": logging.WARNING}

log = logging.getLogger("windlass.alerts")


class NotTold(WindlassError):
    """`channel`, `status`: an alert did not arrive, and is told again."""

    code = "alert-not-told"


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """`to`: recipients of e-mail; `url`: of a webhook or Slack. `secret`: what a webhook's messages are signed with."""

    name: str
    way: Way
    to: tuple[str, ...] = ()
    url: str = ""
    secret: str = ""

    def __repr__(self) -> str:
        return f"Channel(name={self.name!r}, way={self.way!r}, to={self.to!r})"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What is told. `id` is the same however often it is tried."""

    id: str
    event: str
    rule: str
    group: str
    text: str
    value: float
    since: str
    at: str
    command: str = ""


class Post(msgspec.Struct, frozen=True):
    """How mail goes out: `smtp://user:password@host:587`, `smtps://` for TLS from the start, `?tls=off` for neither."""

    host: str
    port: int
    user: str
    password: str
    tls: Literal["start", "always", "off"]
    sender: str

    def __repr__(self) -> str:
        return f"Post({self.host}:{self.port})"


def read_channel(
    name: object, way: object, *, to: Any = (), url: str = "", secret: str | None = None, outbound: Outbound
) -> Channel:
    """A checked channel; raises `InvalidOption`."""
    known: Way | None = next((each for each in ("email", "webhook", "slack", "log") if each == way), None)
    name = check_name(name, "name")
    if known == "email":
        return Channel(name=name, way=known, to=_recipients(to))
    if known in ("webhook", "slack"):
        try:
            outbound.check_url(url)
        except AddressRefused as error:
            raise refusal("url", url[:100], "an http or https address outside", error.message) from None
        made = "" if known == "slack" else signing.new_secret() if secret is None else signing.check_secret(secret)
        return Channel(name=name, way=known, url=url, secret=made)
    if known == "log":
        return Channel(name=name, way=known)
    raise refusal("way", way, "email, webhook, slack or log", "use one of them")


def read_post(url: str, sender: str) -> Post:
    """The SMTP server of a setting; raises `SettingsError`, which does not show the password."""
    parts = urlsplit(url)
    tls = parse_qs(parts.query).get("tls", ["start"])[0]
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or tls not in ("start", "off"):
        raise SettingsError(
            "smtp_url must be like smtp://user:password@host:587", field="smtp_url", mend="use smtp:// or smtps://"
        )
    always = parts.scheme == "smtps"
    host = parts.hostname
    return Post(
        host,
        parts.port or (465 if always else 587),
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        "always" if always else "off" if tls == "off" else "start",
        sender or f"windlass@{host}",
    )


class Lacking(NamedTuple):
    """What keeps a channel from telling anything, and what mends it."""

    text: str
    mend: str


def lack_of(channel: Channel, smtp_url: str) -> Lacking | None:
    """What the settings lack for a channel; None if nothing."""
    if channel.way != "email":
        return None
    mend = "set WINDLASS_SMTP_URL=smtp://user:password@host:587 for the workers, or Windlass(smtp_url=...)"
    if not smtp_url:
        return Lacking("the setting smtp_url is not set, so no alert can be mailed", mend)
    try:
        read_post(smtp_url, "")
    except (SettingsError, ValueError):
        return Lacking("the setting smtp_url is no address of a mail server", mend)
    return None


async def tell(channel: Channel, notice: Notice, post: Post | None, client: Any) -> None:
    """Tell one notice by one channel; raises `NotTold` and what connections raise."""
    match channel.way:
        case "log":
            line = _line(f"alert {notice.event}: {notice.text} ({notice.rule}) {notice.command}")
            log.log(_LEVEL[notice.event], "%s", line)
        case "email":
            if post is None:
                raise NotTold("smtp_url is not set, so no alert can be mailed", channel=channel.name, status=None)
            await asyncio.to_thread(_mail, channel, notice, post)
        case "slack":
            await _send(client, channel, msgspec.json.encode({"text": _for_chats(notice)}), {})
        case "webhook":
            body = msgspec.json.encode({"type": f"alert.{notice.event}", "timestamp": notice.at, "data": notice})
            await _send(client, channel, body, signing.headers([channel.secret], notice.id, int(time.time()), body))


async def _send(client: Any, channel: Channel, body: bytes, headers: dict[str, str]) -> None:
    """Only the status of the answer is read: the rest may be without end."""
    from windlass.outbound_http import unlogged  # the extra `webhooks`

    headers = {"content-type": "application/json", **headers}
    try:
        async with (
            unlogged(),
            asyncio.timeout(_TIMEOUT),
            client.stream("POST", channel.url, content=body, headers=headers) as response,
        ):
            status = response.status_code
    except TimeoutError:
        raise NotTold(
            f"{channel.name} did not answer within {_TIMEOUT:g} s", channel=channel.name, status=None
        ) from None
    if not 200 <= status < 300:
        raise NotTold(f"{channel.name} answered {status}", channel=channel.name, status=status)


def _mail(channel: Channel, notice: Notice, post: Post) -> None:
    message = EmailMessage(MAIL_POLICY)
    message["Subject"] = _title(notice)[:_LONGEST_SUBJECT]
    message["From"] = post.sender
    message["To"] = ", ".join(channel.to)
    message["Date"] = formatdate()
    # The same for every try, so that a mail sent twice after a crash shows once.
    message["Message-ID"] = f"<{notice.id}@windlass>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_told(notice))
    context = ssl.create_default_context()
    if post.tls == "always":
        server: smtplib.SMTP = smtplib.SMTP_SSL(post.host, post.port, timeout=_TIMEOUT, context=context)
    else:
        server = smtplib.SMTP(post.host, post.port, timeout=_TIMEOUT)
    with server:
        if post.tls == "start":
            server.starttls(context=context)
        if post.user:
            server.login(post.user, post.password)
        server.send_message(message)


def _title(notice: Notice) -> str:
    word = {"firing": "ALERT", "still-firing": "STILL", "resolved": "resolved"}[notice.event]
    return _line(f"[windlass] {word} {notice.rule}: {notice.group}")


def _told(notice: Notice) -> str:
    lines = [notice.text, "", f"rule: {notice.rule}", f"about: {notice.group}", f"since: {notice.since}"]
    found = [*lines, f"look: {notice.command}"] if notice.command else lines
    return "".join(f"{_line(line)}\n" for line in found)


def _line(text: str) -> str:
    """Names of hosts and providers, and what health says of them, may hold anything: here they are one line without control
    characters, so that they make neither headers nor lines of a log."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _for_chats(notice: Notice) -> str:
    """Names are text here too: they mention nobody and link to nothing."""
    text = f"{_title(notice)}\n{_told(notice)}"
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _recipients(given: Any) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else tuple(given)
    good = [name for name in names if isinstance(name, str) and _is_address(name)]
    if not names or len(good) != len(names) or len(names) > MOST_RECIPIENTS:
        raise refusal("to", given, f"1 to {MOST_RECIPIENTS} e-mail addresses", "write ops@example.com")
    return tuple(dict.fromkeys(good))


def _is_address(text: str) -> bool:
    name, address = parseaddr(text)
    return not name and address == text and text.isascii() and text.isprintable() and 0 < text.find("@") < len(text) - 1
