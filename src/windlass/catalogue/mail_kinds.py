"""The kinds of the family `mail`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from windlass import Priority, PriorityRule, exponential
from windlass.catalogue.kinds import Kind, Lack
from windlass.catalogue.readiness import has_module, need_setting

if TYPE_CHECKING:
    from windlass.catalogue.settings import CatalogueSettings


def _needs(settings: "CatalogueSettings") -> Iterable[Lack]:
    mail = settings.mail
    yield from need_setting(mail.sender, "WINDLASS_EMAIL_FROM", "the address that mail comes from")
    chosen = mail.chosen()
    if not chosen:
        yield Lack("setting", "WINDLASS_SMTP_HOST", "set WINDLASS_SMTP_HOST, or SENDGRID_API_KEY, RESEND_API_KEY, ...")
    for name in chosen:
        if name == "smtp":
            yield from need_setting(mail.smtp_host, "WINDLASS_SMTP_HOST", "the mail server")
            if not has_module("aiosmtplib"):
                yield Lack("extra", "mail", "pip install 'windlass[mail]' (aiosmtplib is missing)")
        elif name == "file":
            yield from need_setting(settings.storage.url, "WINDLASS_STORAGE_URL", "where the provider `file` writes")
        else:
            yield from need_setting(*mail.secret_of(name), f"the key of {name}")


_REPORT = Kind(
    name="email-report",
    family="mail",
    purpose="Gathers what became of each recipient of a bulk",
    handler="windlass.catalogue.mail:report",
    input="windlass.catalogue.mail_message:ReportInput",
    output="BulkResult",
    queue="email-sending",
    extra="mail",
    modules=("jinja2",),
    effect="none",
    options={"max_attempts": 5, "priority": Priority.LOW},
)

KINDS = (
    Kind(
        name="send-email",
        family="mail",
        purpose="Sends a mail from a template or a text, to one recipient or to many, one message each",
        handler="windlass.catalogue.mail:send_email",
        input="windlass.catalogue.mail_message:EmailInput",
        output="EmailResult",
        queue="email-sending",
        extra="mail",
        modules=("jinja2",),
        needs=_needs,
        effect="hold, or resend (WINDLASS_EMAIL_IN_DOUBT) for transactional mail",
        options={
            "timeout": "2m",
            "max_attempts": 5,
            "backoff": exponential("30s", factor=3, cap="1h"),
            "priority_rules": (
                PriorityRule("high", Priority.HIGH, args={"priority": "high"}),
                PriorityRule("low", Priority.LOW, args={"priority": "low"}),
            ),
        },
    ),
    _REPORT,
)
