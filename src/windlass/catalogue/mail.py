"""`send-email` and `email-report`: a mail once for each recipient, or held where nobody knows."""

import hashlib
from typing import Any

from msgspec.structs import replace

from windlass import Context, Provider, Retry, batch
from windlass.catalogue.installing import Kit, kit_of
from windlass.catalogue.mail_errors import AnswerLost, MailRefused, is_gone
from windlass.catalogue.mail_http import APIS, Http
from windlass.catalogue.mail_message import (
    BulkResult,
    EmailInput,
    EmailResult,
    Envelope,
    Rejected,
    ReportInput,
    bare,
    compose,
)
from windlass.catalogue.mail_smtp import Smtp
from windlass.catalogue.suppression import Suppressions
from windlass.providers import Chain

_LONGEST_KEY = 300


class Desk:
    """The providers of an app's mail, in their order."""

    def __init__(self, kit: Kit) -> None:
        settings = kit.settings.mail
        self._kit = kit
        self._senders: dict[str, Any] = {}
        for name in settings.chosen():
            if name == "smtp":
                self._senders[name] = Smtp(settings)
            elif name == "file":
                self._senders[name] = _File(kit)
            else:
                self._senders[name] = Http(APIS[name], settings)
        pause = settings.breaker_pause
        self.chain = Chain(
            [
                Provider(f"mail-{name}", cost=settings.cost, pause=pause, longest_pause=pause * 20)
                for name in self._senders
            ]
        )
        self.suppressions = Suppressions(kit.app)

    async def send(self, provider: Provider, envelope: Envelope, effect: Any) -> tuple[str, dict[str, Any]]:
        """Hand a message to one provider."""
        name = provider.name.removeprefix("mail-")
        return name, await self._senders[name].send(envelope, effect)

    async def aclose(self) -> None:
        """Close all connections."""
        for sender in self._senders.values():
            await sender.aclose()


class _File:
    """The provider `file`: messages are written to the storage, for those who develop."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    async def send(self, envelope: Envelope, effect: Any) -> dict[str, Any]:
        await effect.sending()
        name = hashlib.sha256(envelope.key.encode()).hexdigest()[:40]
        stored = await self._kit.storage.put(
            f"mail/{name}.eml", envelope.message.as_bytes(), media_type="message/rfc822"
        )
        return {"accepted": list(envelope.recipients), "rejected": [], "answer": stored.key}

    async def aclose(self) -> None:
        """Nothing is open."""


async def send_email(ctx: Context, job: EmailInput) -> EmailResult:
    """Send a mail to one recipient; to several, make it a job for each, and one that reports of them all."""
    kit = kit_of(ctx)
    if len(job.to) > 1:
        return _spread(ctx, job, kit)
    desk = kit.part(Desk)
    everybody = tuple(dict.fromkeys(bare(address) for address in (*job.to, *job.cc, *job.bcc)))
    suppressed = await desk.suppressions.among(*everybody)
    recipients = tuple(address for address in everybody if address not in suppressed)
    if everybody[0] in suppressed or not recipients:
        return EmailResult(suppressed=everybody)
    key = effect_key(ctx, job)
    settings = kit.settings.mail
    in_doubt = "resend" if job.category == "transactional" and settings.in_doubt == "resend" else "hold"
    asked = job.model_dump(mode="json", exclude={"idempotency_key", "priority", "metadata"})
    async with ctx.effect("email", key, asked, in_doubt=in_doubt) as effect:
        if effect.done:
            return EmailResult.model_validate(effect.result)
        envelope = await compose(ctx, job, recipients, f"email/{key}", kit)
        ctx.progress(40, "composed")
        try:
            provider, receipt = await desk.chain.call(desk.send, envelope, effect)
        except AnswerLost as error:
            if in_doubt == "hold":
                raise
            raise Retry(str(error)) from error
        except MailRefused as error:
            await _remember_bounce(desk, recipients, error)
            raise
        result = EmailResult(
            message_id=envelope.message_id,
            provider=provider,
            accepted=tuple(receipt["accepted"]),
            rejected=tuple(receipt["rejected"]),
            suppressed=tuple(sorted(suppressed)),
        )
        await effect.finish(result.model_dump(mode="json"))
    for each in result.rejected:
        await _remember(desk, each)
    return result


def effect_key(ctx: Context, job: EmailInput) -> str:
    """What names the mail: what it says, to whom, and for which business operation. Without an idempotency key or a campaign the
    operation is this job: then only the job's own repetitions are one mail."""
    body = job.template or hashlib.sha256(f"{job.subject}\0{job.text}\0{job.html}".encode()).hexdigest()[:16]
    whose = "" if job.tenant == "default" else f"{job.tenant}/"  # tenants do not know each other's keys
    key = f"{whose}{body}:{bare(job.to[0])}:{_business(ctx, job)}"
    return key if len(key) <= _LONGEST_KEY else hashlib.sha256(key.encode()).hexdigest()


def _business(ctx: Context, job: EmailInput) -> str:
    return job.idempotency_key or job.campaign_id or ctx.id


def _spread(ctx: Context, job: EmailInput, kit: Kit) -> EmailResult:
    """One job for each recipient, and one behind them that gathers what became of them: stored with the end of this job."""
    most = kit.settings.mail.most_recipients
    if len(job.to) > most:
        raise MailRefused(
            f"the mail is to {len(job.to)} recipients; the limit is {most}", mend="WINDLASS_EMAIL_MAX_RECIPIENTS"
        )
    handlers = kit.app.handlers
    send, report = handlers["send-email"], handlers["email-report"]
    own = ctx.job
    options: dict[str, Any] = {"queue": own.queue, "priority": own.priority, "tags": own.tags}
    options |= {name: value for name, value in (("user", own.user), ("project", own.project)) if value is not None}
    each = {**job.model_dump(mode="json", exclude_unset=True), "idempotency_key": _business(ctx, job)[:200]}
    members = [
        send.options(**options).job(**{**each, "to": [address]})
        for address in {bare(address).lower(): address for address in job.to}.values()
    ]
    gather = report.options(queue=own.queue).job(bulk=ctx.id)
    flow = batch(members, then=gather)
    for made in flow.jobs:
        ctx.hand_over(replace(made, workflow=own.workflow or ctx.id))
    return EmailResult(spread=len(members), report=gather.id)


async def report(ctx: Context, job: ReportInput) -> BulkResult:
    """What became of each recipient of a bulk. Runs when all of them have ended."""
    accepted: list[str] = []
    suppressed: list[str] = []
    held: list[str] = []
    failed: dict[str, str] = {}
    async for member in ctx.batch.members():
        address = bare(member.args["to"][0])
        if member.state == "completed":
            got = EmailResult.model_validate(member.result).accepted
            (accepted if got else suppressed).append(address)
        elif member.error is not None and member.error.category == "held":
            held.append(address)
        else:
            failed[address] = member.reason or str(member.state)
            if member.error is not None:
                failed[address] = member.error.message
    return BulkResult(
        bulk=job.bulk,
        accepted=tuple(sorted(accepted)),
        suppressed=tuple(sorted(suppressed)),
        failed=dict(sorted(failed.items())),
        held=tuple(sorted(held)),
    )


async def _remember_bounce(desk: Desk, recipients: tuple[str, ...], error: MailRefused) -> None:
    """A box that there is not gets no mail again."""
    code = error.facts.get("smtp")
    if isinstance(code, int) and len(recipients) == 1 and error.facts.get("recipient") == recipients[0]:
        text = str(error.facts.get("text", ""))
        await _remember(desk, Rejected(address=recipients[0], code=code, message=text, permanent=True))


async def _remember(desk: Desk, rejected: Rejected) -> None:
    if rejected.permanent and is_gone(rejected.code, rejected.message):
        await desk.suppressions.add(rejected.address, "bounce", f"{rejected.code} {rejected.message}")


__all__ = ["Desk", "effect_key", "report", "send_email"]
