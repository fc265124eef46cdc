"""What a mail is asked to be, and the message that comes of it: addresses, templates, attachments, headers."""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from windlass import Context, WindlassError
from windlass.catalogue.inputs import Input, JobInput, Line, Output, Part
from windlass.catalogue.settings import MailSettings
from windlass.catalogue.storage import Storage, check_key, check_owner, media_type_of, safe_name

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent / "mail_templates"
LONGEST_BODY = 1_000_000
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_HEADER = re.compile(
    r"X-[A-Za-z0-9-]{1,70}|In-Reply-To|References|Auto-Submitted|Precedence|List-Id|Feedback-ID", re.IGNORECASE
)


class TemplateRefused(WindlassError, ValueError):
    """`template`: there is none of this name, or it does not work with these data."""

    code = "template-refused"
    retryable = False


def read_address(text: object) -> str:
    """An address, also as `Name <address>`; its domain in the form that servers know."""
    if not isinstance(text, str) or any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise ValueError("is no address, or holds a line break")
    name, address = parseaddr(text)
    local, at, domain = address.rpartition("@")
    if not at or len(address) > 254 or len(local) > 64 or not _LOCAL.fullmatch(local):
        raise ValueError(f"{text[:100]!r} is no mail address")
    try:
        plain = domain.encode("idna").decode()
    except UnicodeError:
        raise ValueError(f"{text[:100]!r} is no mail address: its domain") from None
    if not all(_LABEL.fullmatch(label) for label in plain.split(".")) or len(plain) > 253:
        raise ValueError(f"{text[:100]!r} is no mail address: its domain")
    plain_address = f"{local}@{plain.lower()}"
    return f"{name} <{plain_address}>" if name else plain_address


Address = Annotated[str, BeforeValidator(read_address)]


def bare(address: str) -> str:
    """The address without its name."""
    return parseaddr(address)[1]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Addresses = Annotated[tuple[Address, ...], BeforeValidator(_listed)]


def _headers(given: dict[str, str]) -> dict[str, str]:
    for name in given:
        if not _HEADER.fullmatch(name):
            raise ValueError(
                f"the header {name[:80]!r} may not be set: X-..., In-Reply-To, References and a few others may"
            )
    return given


class Attachment(Part):
    """A file: `key` in the storage, or its bytes as `contentB64`."""

    name: Line = Field(max_length=200)
    media_type: str | None = Field(default=None, pattern=r"^[\w.+-]+/[\w.+-]+$", max_length=100)
    key: str | None = None
    content_b64: str | None = Field(default=None, max_length=40_000_000)

    @model_validator(mode="after")
    def _one_source(self) -> "Attachment":
        if (self.key is None) is (self.content_b64 is None):
            raise ValueError("give either key or contentB64")
        if self.key is not None:
            check_key(self.key)
        return self


class EmailInput(JobInput):
    """A mail to one recipient, or one message each to several. Either a `template` with its `data`, or `text` and/or `html`."""

    to: Addresses = Field(min_length=1, max_length=900)
    cc: Addresses = Field(default=(), max_length=50)
    bcc: Addresses = Field(default=(), max_length=50)
    subject: Line | None = Field(default=None, max_length=998)
    template: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,100}$")
    data: dict[str, Any] = Field(default_factory=dict)
    text: str | None = Field(default=None, max_length=LONGEST_BODY)
    html: str | None = Field(default=None, max_length=LONGEST_BODY)
    attachments: tuple[Attachment, ...] = Field(default=(), max_length=50)
    reply_to: Address | None = None
    headers: Annotated[dict[str, Line], AfterValidator(_headers)] = Field(default_factory=dict)
    priority: Literal["high", "normal", "low"] = "normal"
    category: Literal["transactional", "marketing"] = "transactional"
    campaign_id: Line | None = Field(default=None, min_length=1, max_length=100)
    list_unsubscribe: Annotated[Line, Field(pattern=r"^(https://|mailto:)[^<>\s]+$", max_length=2_000)] | None = None

    @model_validator(mode="after")
    def _one_body(self) -> "EmailInput":
        written = self.text is not None or self.html is not None
        if written is (self.template is not None):
            raise ValueError("give either a template, or text and/or html")
        if written and self.subject is None:
            raise ValueError("a mail without a template needs a subject")
        if len(self.to) > 1 and (self.cc or self.bcc):
            raise ValueError("cc and bcc are for a mail to one recipient: a bulk is one message each")
        if self.category == "marketing" and self.list_unsubscribe is None:
            raise ValueError("marketing needs listUnsubscribe")
        return self


class Rejected(Output):
    """A recipient that a server refused."""

    address: str
    code: int
    message: str
    permanent: bool


class EmailResult(Output):
    """What became of a mail. `suppressed`: recipients who are on the suppression list and were left out."""

    message_id: str = ""
    provider: str = ""
    accepted: tuple[str, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    suppressed: tuple[str, ...] = ()
    spread: int = 0
    """Of a mail to several: how many jobs it became."""
    report: str | None = None
    """The job whose result tells of each of them."""


class ReportInput(Input):
    """The bulk it is about."""

    bulk: str


class BulkResult(Output):
    """What became of the recipients of a bulk. `held`: whether they got it is unknown. `failed`: address to the reason."""

    bulk: str
    accepted: tuple[str, ...]
    suppressed: tuple[str, ...]
    failed: dict[str, str]
    held: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message with those it goes to. `key`: for providers that take one against doubles."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage
    message_id: str
    key: str
    subject: str
    text: str | None
    html: str | None
    files: tuple[tuple[str, str, bytes], ...]


async def compose(ctx: Context, job: EmailInput, recipients: tuple[str, ...], key: str, kit: Any) -> Envelope:
    """The message of a mail, the same at every attempt but for its date. `recipients`: those who are to get it."""
    settings: MailSettings = kit.settings.mail
    subject, text, html = job.subject, job.text, job.html
    if job.template is not None:
        subject, text, html = render(settings, job.template, {**job.data, "to": bare(job.to[0])}, job.subject)
    files = await _files(job, settings, kit)
    sender = bare(settings.sender)
    made = EmailMessage(policy=SMTP)
    made["From"] = _header(settings.sender, settings.sender_name)
    made["To"] = _header(job.to[0])
    if job.cc:
        made["Cc"] = tuple(_header(address) for address in job.cc)
    if job.reply_to:
        made["Reply-To"] = _header(job.reply_to)
    made["Subject"] = subject or ""
    made["Date"] = format_datetime(ctx.job.created_at)
    message_id = f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{settings.domain or sender.rpartition('@')[2]}>"
    made["Message-ID"] = message_id
    if job.list_unsubscribe:
        made["List-Unsubscribe"] = f"<{job.list_unsubscribe}>"
        if job.list_unsubscribe.startswith("https://"):
            made["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    for name, value in job.headers.items():
        made[name] = value
    if text is not None:
        made.set_content(text)
    if html is not None:
        if text is None:
            made.set_content(html, subtype="html")
        else:
            made.add_alternative(html, subtype="html")
    for name, media_type, data in files:
        main, _, sub = media_type.partition("/")
        made.add_attachment(data, maintype=main, subtype=sub, filename=name)
    return Envelope(sender, recipients, made, message_id, key, subject or "", text, html, files)


def _header(address: str, name: str = "") -> HeaderAddress:
    told, plain = parseaddr(address)
    return HeaderAddress(display_name=told or name, addr_spec=plain)


async def _files(job: EmailInput, settings: MailSettings, kit: Any) -> tuple[tuple[str, str, bytes], ...]:
    found: list[tuple[str, str, bytes]] = []
    left = settings.most_attachment_bytes
    for attachment in job.attachments:
        if attachment.key is not None:
            storage: Storage = kit.storage
            data = await storage.read(check_owner(attachment.key, job.tenant, job.user_id), max(left, 0))
        else:
            data = _decoded(attachment)
        left -= len(data)
        if left < 0:
            raise TemplateRefused(
                f"the attachments have more than {settings.most_attachment_bytes:,} bytes", field="attachments"
            )
        name = safe_name(attachment.name)
        found.append((name, attachment.media_type or media_type_of(name), data))
    return tuple(found)


def _decoded(attachment: Attachment) -> bytes:
    try:
        return base64.b64decode(attachment.content_b64 or "", validate=True)
    except binascii.Error as error:
        raise TemplateRefused(f"the attachment {attachment.name!r} is no base64", field="attachments") from error


# templates


def render(
    settings: MailSettings, name: str, data: dict[str, Any], subject: str | None = None
) -> tuple[str, str, str | None]:
    """(subject, text, html) of a template: `<name>.txt`, whose first line is `Subject: ...`, and `<name>.html` if there is one.
    Data are never code: they are values in a sandbox, and escaped in HTML. Raises `TemplateRefused`."""
    from jinja2 import TemplateError, TemplateNotFound

    environment = _environment(str(settings.templates or ""))
    try:
        written = environment.get_template(f"{name}.txt").render(data)
        try:
            html = environment.get_template(f"{name}.html").render(data)
        except TemplateNotFound as error:
            if error.name != f"{name}.html":
                raise
            html = None
    except TemplateNotFound as error:
        raise TemplateRefused(
            f"there is no template {error.name!r}", template=name, mend=f"there are: {', '.join(templates(settings))}"
        ) from error
    except (TemplateError, TypeError, ValueError, OverflowError, ArithmeticError) as error:
        raise TemplateRefused(f"the template {name!r}: {error}", template=name) from error
    first, _, rest = written.partition("\n")
    told = first.removeprefix("Subject:").strip() if first.startswith("Subject:") else ""
    text = rest.lstrip("\n") if told else written
    found = subject or told
    if not found or any(ord(c) < 32 for c in found) or len(found) > 998:
        raise TemplateRefused(f"the template {name!r} has no usable subject", template=name, mend="give subject")
    if max(len(text), len(html or "")) > LONGEST_BODY:
        raise TemplateRefused(f"the template {name!r} makes more than {LONGEST_BODY:,} characters", template=name)
    return found, text, html


def templates(settings: MailSettings) -> list[str]:
    """The names of the templates that there are."""
    places = [HERE, *([settings.templates] if settings.templates else [])]
    return sorted({file.stem for place in places for file in place.glob("*.txt")})


def _escapes(name: str | None) -> bool:
    return name is not None and name.endswith(".html")


@lru_cache(maxsize=8)
def _environment(folder: str) -> "Environment":
    from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    own = [FileSystemLoader(folder)] if folder else []
    return ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([*own, FileSystemLoader(HERE)]),
        autoescape=_escapes,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
