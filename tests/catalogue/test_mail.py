"""`send-email` against a real SMTP server: templates, attachments, refusals, lost answers, bulks."""

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.catalogue.post_office import PostOffice, post_office
from tests.tls import Authority, tls_front
from tests.waiting import until
from tests.worker.kit import ended, working
from windlass.app import Windlass
from windlass.catalogue import CatalogueSettings, Storage, install
from windlass.catalogue.settings import MailSettings, StorageSettings
from windlass.catalogue.storage import job_prefix
from windlass.catalogue.suppression import Suppressions
from windlass.errors import InvalidArgs
from windlass.values.retry import fixed


def mail_settings(office: PostOffice, **more: Any) -> CatalogueSettings:
    given = {
        "sender": "shop@example.com",
        "sender_name": "The Shop",
        "smtp_host": "127.0.0.1",
        "smtp_port": office.port,
    }
    return CatalogueSettings(
        mail=MailSettings(**(given | {"smtp_security": "none", "timeout": 5.0, "rate_pause": 0.05} | more)),
        storage=StorageSettings(url="memory://"),
    )


def quick(app: Windlass) -> Any:
    """The kind with delays that a test can wait for."""
    return app.handlers["send-email"].options(backoff=fixed("20ms"))


HELLO = {"subject": "Hello", "text": "Hello."}


async def test_a_template_reaches_its_reader(app: Windlass) -> None:
    async with post_office() as office, app:
        install(app, families=["mail"], settings=mail_settings(office))
        async with working(app):
            ref = await app.enqueue(
                "send-email",
                to="Ann B <ann@Example.org>",
                template="welcome",
                data={"name": "Ann <script>", "url": "https://example.com/?a=1&b=2"},
                cc=["bob@example.org"],
                bcc="boss@example.org",
                replyTo="help@example.com",
                headers={"X-Order": "7"},
            )
            result = await ref.result("20s")
        [mail] = office.mails
        message = mail.message
        assert mail.recipients == ["ann@example.org", "bob@example.org", "boss@example.org"]
        assert (message["To"], message["Cc"], message["Bcc"]) == ("Ann B <ann@example.org>", "bob@example.org", None)
        assert (message["From"], message["Reply-To"]) == ("The Shop <shop@example.com>", "help@example.com")
        assert (message["Subject"], message["X-Order"]) == ("Welcome, Ann <script>", "7")
        text = message.get_body(("plain",)).get_content()  # type: ignore[attr-defined]
        html = message.get_body(("html",)).get_content()  # type: ignore[attr-defined]
        assert text.startswith("Hello Ann <script>,") and "https://example.com/?a=1&b=2" in text
        assert "Ann &lt;script&gt;" in html and "<script>" not in html and "?a=1&amp;b=2" in html
        assert result.message_id == mail.id and mail.id.endswith("@example.com>")
        assert (result.provider, list(result.accepted)) == ("smtp", mail.recipients)
        assert (await app.effects.get(f"email/welcome:ann@example.org:{ref.id}")).state == "done"


@pytest.mark.parametrize(
    "name", ["verify-email", "password-reset", "notification", "receipt", "newsletter", "job-alert"]
)
async def test_every_template_renders(name: str) -> None:
    from windlass.catalogue.mail_message import render, templates

    data = {
        "to": "a@b.c", "name": "Ann", "url": "https://example.com", "title": "T", "message": "M", "number": "7", "total": "9",
        "items": [{"name": "Tea", "amount": "9"}], "articles": [{"title": "A", "summary": "S"}], "facts": {"queue": "q"},
    }  # fmt: skip
    subject, text, html = render(MailSettings(), name, data)
    assert name in templates(MailSettings())
    assert subject and text and html and "{" not in text and "</html>" in html


async def test_own_templates_come_first_and_data_are_not_code(app: Windlass, tmp_path: Any) -> None:
    (tmp_path / "note.txt").write_text("Subject: {{ what }}\n\n{{ what }}!\n")
    (tmp_path / "evil.txt").write_text("Subject: x\n\n{{ what.__class__.__mro__ }}\n")
    async with post_office() as office, app:
        install(app, families=["mail"], settings=mail_settings(office, templates=tmp_path))
        async with working(app):
            await (await app.enqueue("send-email", to="a@b.org", template="note", data={"what": "{{ 7 * 7 }}"})).result(
                "20s"
            )
            assert office.mails[0].message["Subject"] == "{{ 7 * 7 }}"
            for template, data, wrong in (
                ("evil", {"what": 1}, "unsafe"),
                ("note", {}, "'what' is undefined"),
                ("missing", {}, "there is no template"),
                ("note", {"what": "a\nBcc: x@y.z"}, ""),
            ):
                job = await ended(app, (await app.enqueue("send-email", to="a@b.org", template=template, data=data)).id)
                if wrong:
                    assert job.error is not None and (job.error.type, job.error.category) == (
                        "TemplateRefused",
                        "permanent",
                    )
                    assert wrong in job.error.message
                else:
                    assert office.mails[-1].message["Subject"] == "a" and office.mails[-1].message["Bcc"] is None


async def test_attachments_from_storage_and_inline(app: Windlass) -> None:
    storage = Storage.open(StorageSettings(url="memory://"))
    key = job_prefix("default", "u1", "j1") + "report.pdf"
    await storage.put(key, b"%PDF-1.7 report")
    other = job_prefix("default", "u2", "j1") + "secret.pdf"
    await storage.put(other, b"secret")
    inline = {"name": "../../note.txt", "contentB64": base64.b64encode(b"hello").decode()}
    async with post_office() as office, app:
        install(app, families=["mail"], settings=mail_settings(office, most_attachment_bytes=100), storage=storage)
        async with working(app):
            given: dict[str, Any] = {"to": "a@b.org", "userId": "u1", **HELLO}
            files = [{"name": "r.pdf", "key": key}, inline]
            await (await app.enqueue("send-email", **given, attachments=files)).result("20s")
            parts = office.mails[0].message.iter_attachments()  # type: ignore[attr-defined]
            found = [(part.get_filename(), part.get_content_type(), part.get_content()) for part in parts]
            assert found == [("r.pdf", "application/pdf", b"%PDF-1.7 report"), ("note.txt", "text/plain", "hello")]
            big = {"name": "big", "contentB64": base64.b64encode(b"x" * 101).decode()}
            for file, wrong in (
                ({"name": "s", "key": other}, "NotOwner"),
                ({"name": "s", "key": key + "x"}, "NoSuchFile"),
                ({"name": "s", "contentB64": "%%%"}, "TemplateRefused"),
                (big, "TemplateRefused"),
            ):
                job = await ended(app, (await app.enqueue("send-email", **given, attachments=[file])).id)
                assert job.error is not None and (job.error.type, job.error.category) == (wrong, "permanent")
        assert len(office.mails) == 1


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"to": "nobody"}, "to"),
        ({"to": "a@b\r\nBcc: x@y.z"}, "to"),
        ({"to": "a@-b.org"}, "to"),
        ({"to": []}, "to"),
        ({"to": "a@b.org", "subject": "a\nBcc: x@y.z", "text": "x"}, "subject"),
        ({"to": "a@b.org", "subject": "a\u2028b", "text": "x"}, "subject"),
        ({"to": "a@b.org", "subject": "a"}, "args"),
        ({"to": "a@b.org", "text": "a"}, "args"),
        ({"to": "a@b.org", "subject": "a", "text": "b", "template": "welcome"}, "args"),
        ({"to": "a@b.org", **HELLO, "headers": {"Bcc": "x@y.z"}}, "headers"),
        ({"to": "a@b.org", **HELLO, "headers": {"X-A": "b\nBcc: c"}}, "headers"),
        ({"to": "a@b.org", **HELLO, "template_": "x"}, "template_"),
        ({"to": "a@b.org", "template": "../../etc/passwd"}, "template"),
        ({"to": "a@b.org", **HELLO, "category": "marketing"}, "args"),
        ({"to": "a@b.org", **HELLO, "attachments": [{"name": "a", "key": "../../x"}]}, "attachments"),
        ({"to": ["a@b.org", "c@d.org"], **HELLO, "bcc": "x@y.z"}, "args"),
    ],
)
async def test_bad_inputs_are_refused_when_they_are_enqueued(bad: dict[str, Any], field: str) -> None:
    async with post_office() as office:
        app = Windlass("sqlite://:memory:")
        install(app, families=["mail"], settings=mail_settings(office))
        async with app:
            with pytest.raises(InvalidArgs, match="send-email") as refused:
                await app.enqueue("send-email", **bad)
            assert refused.value.facts["field"].startswith(field), refused.value


async def test_names_of_both_fashions_are_stored_as_one() -> None:
    async with post_office() as office:
        app = Windlass("sqlite://:memory:")
        install(app, families=["mail"], settings=mail_settings(office))
        one = app.handlers["send-email"].job(to="a@b.org", reply_to="c@d.org", **HELLO)
        two = app.handlers["send-email"].job(to="a@b.org", replyTo="c@d.org", **HELLO)
        assert one.args == two.args and '"replyTo"' in one.args
        assert app.handlers["send-email"].job(to="a@b.org", priority="high", **HELLO).priority == 5
        assert app.handlers["send-email"].job(to="a@b.org", priority="low", **HELLO).priority == -5


async def test_451_and_yet_one_mail(app: Windlass) -> None:
    async with post_office() as office, app:
        install(app, families=["mail"], settings=mail_settings(office))
        office.answers["DATA"].append("451 4.3.0 try again later")
        office.answers["RCPT"] += ["250 OK", "451 4.7.1 greylisted, come back"]
        async with working(app):
            ref = await quick(app).enqueue(to="a@b.org", **HELLO)
            job = await ended(app, ref.id)
            assert (job.state, job.attempt) == ("completed", 3)
            assert [a.error.category for a in job.attempts if a.error] == ["temporary", "temporary"]
        assert office.reached == ["a@b.org"]


async def test_too_fast_spends_no_attempt(app: Windlass) -> None:
    async with post_office() as office, app:
        install(app, families=["mail"], settings=mail_settings(office))
        office.answers["MAIL"].append("421 4.7.0 too many messages")
        office.answers["RCPT"].append("450 4.7.28 rate limited")
        async with working(app):
            job = await ended(app, (await quick(app).enqueue(to="a@b.org", **HELLO)).id)
            assert (job.state, job.attempt) == ("completed", 1)
        assert office.reached == ["a@b.org"]


async def test_550_is_final_and_remembered(app: Windlass) -> None:
    async with post_office() as office, app:
        install(app, families=["mail"], settings=mail_settings(office))
        office.refuse = {"gone@b.org": "550 5.1.1 no such user", "full@b.org": "552 5.2.2 mailbox full"}
        async with working(app):
            for address in ("gone@b.org", "full@b.org"):
                job = await ended(app, (await quick(app).enqueue(to=address, **HELLO)).id)
                assert (job.state, job.attempt) == ("failed", 1)
                assert job.error is not None and (job.error.type, job.error.category) == ("MailRefused", "permanent")
            listed = Suppressions(app)
            assert [(each.address, each.why) for each in await listed.list()] == [("gone@b.org", "bounce")]
            office.refuse = {}
            result = await (await app.enqueue("send-email", to="Gone@b.org", **HELLO)).result("20s")
            assert (list(result.suppressed), list(result.accepted)) == (["Gone@b.org"], [])
            await listed.remove("gone@b.org")
            await (await app.enqueue("send-email", to="gone@b.org", **HELLO)).result("20s")
            # Of several recipients of one mail, those that are refused are told, and the others get it.
            office.refuse = {"gone@b.org": "550 5.1.1 no such user"}
            both = await (await app.enqueue("send-email", to="a@b.org", cc="gone@b.org", **HELLO)).result("20s")
            assert (list(both.accepted), [(r.address, r.code, r.permanent) for r in both.rejected]) == (
                ["a@b.org"], [("gone@b.org", 550, True)]
            )  # fmt: skip
            assert await listed.among("gone@b.org") == {"gone@b.org"}
        assert office.reached == ["gone@b.org", "a@b.org"]


async def test_an_answer_lost_is_held_and_resolved(app: Windlass) -> None:
    async with post_office() as office, app:
        install(app, families=["mail"], settings=mail_settings(office))
        office.answers["DATA"].append("cut")
        async with working(app):
            ref = await quick(app).enqueue(to="a@b.org", **HELLO)
            job = await ended(app, ref.id)
            assert job.state == "failed" and job.error is not None and job.error.category == "held"
            [held] = await app.effects.list(name="email")
            assert held.job == ref.id and "answer did not come" in held.why
            await app.effects.resolve(
                held.effect, "done", actor="ann", result={"accepted": ["a@b.org"], "provider": "smtp"}
            )
            await app.jobs.requeue(ids=[ref.id])
            assert list((await ref.result("20s")).accepted) == ["a@b.org"]
        assert office.reached == ["a@b.org"]


async def test_transactional_mail_may_be_sent_again_under_its_name(app: Windlass) -> None:
    async with post_office() as office, app:
        install(app, families=["mail"], settings=mail_settings(office, in_doubt="resend"))
        office.answers["DATA"] += ["hang up", "cut"]
        async with working(app):
            job = await ended(app, (await quick(app).enqueue(to="a@b.org", **HELLO)).id)
            assert (job.state, job.attempt) == ("completed", 3)
            [first, second] = office.mails
            assert first.id == second.id
            office.answers["DATA"].append("cut")
            unsubscribe = {"category": "marketing", "listUnsubscribe": "https://example.com/u"}
            job = await ended(app, (await quick(app).enqueue(to="c@b.org", **HELLO, **unsubscribe)).id)
            assert job.error is not None and job.error.category == "held"
        assert office.reached == ["a@b.org", "a@b.org", "c@b.org"]
        assert office.mails[-1].message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


async def test_one_mail_for_one_business_key(app: Windlass) -> None:
    async with post_office() as office, app:
        install(app, families=["mail"], settings=mail_settings(office))
        async with working(app):
            refs = [await app.enqueue("send-email", to="a@b.org", idempotencyKey="order-7", **HELLO) for _ in range(3)]
            results = [await ref.result("20s") for ref in refs]
            assert results[0] == results[1] == results[2]
            await (await app.enqueue("send-email", to="a@b.org", **HELLO)).result("20s")
            other = await app.enqueue("send-email", to="a@b.org", idempotencyKey="order-7", tenant="other", **HELLO)
            assert (await other.result("20s")).message_id != results[0].message_id
            changed = {**HELLO, "data": {"never": "used"}}
            job = await ended(
                app, (await app.enqueue("send-email", to="a@b.org", idempotencyKey="order-7", **changed)).id
            )
            assert job.error is not None and job.error.type == "EffectMismatch"
        assert office.reached == ["a@b.org"] * 3


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
async def test_a_password_and_connections_that_are_kept(app: Windlass) -> None:
    async with post_office(auth=True) as office, app:
        login = {"smtp_user": "ann", "smtp_password": "hush-7-hush"}
        install(app, families=["mail"], settings=mail_settings(office, **login))
        async with working(app, concurrency=1):
            for n in range(5):
                await (await app.enqueue("send-email", to=f"a{n}@b.org", **HELLO)).result("20s")
        assert len(office.mails) == 5 and office.connections == 1


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize(("security", "password"), [("auto", "hush-7-hush"), ("none", "n0t-it")])
async def test_a_password_that_must_not_or_does_not_work(security: str, password: str) -> None:
    app = Windlass("sqlite://:memory:")
    async with post_office(auth=True) as office, app:
        login = {"smtp_user": "ann", "smtp_password": password, "smtp_security": security}
        install(app, families=["mail"], settings=mail_settings(office, **login))
        async with working(app):
            job = await ended(app, (await quick(app).options(max_attempts=2).enqueue(to="a@b.org", **HELLO)).id)
        assert job.error is not None and job.error.category == "provider" and job.attempt == 2
        assert password not in str(job.error)
        assert not office.mails


async def test_the_next_provider_is_asked_before_anything_was_sent(app: Windlass) -> None:
    async with post_office() as office, app:
        settings = mail_settings(office, smtp_port=1, fallbacks=("file",))
        storage = Storage.open(StorageSettings(url="memory://"))
        install(app, families=["mail"], settings=settings, storage=storage)
        async with working(app):
            result = await (await quick(app).enqueue(to="a@b.org", **HELLO)).result("20s")
            assert result.provider == "file" and not office.mails
            [stored] = [each async for each in storage.list("mail/")]
            assert b"Hello." in await storage.read(stored.key, 10_000)


async def test_a_bulk_is_a_mail_each_and_a_report(app: Windlass) -> None:
    people = [f"p{n}@b.org" for n in range(8)]
    async with post_office() as office, app:
        install(app, families=["mail"], settings=mail_settings(office))
        await Suppressions(app).add("p0@b.org", "unsubscribed")
        office.refuse = {"p1@b.org": "550 5.1.1 no such user"}
        office.answers["DATA"].append("cut")  # somebody's answer is lost
        async with working(app):
            ref = await quick(app).enqueue(to=[*people, "P7@b.org"], campaignId="spring", **HELLO)
            spread = await ref.result("20s")
            assert spread.spread == 8 and spread.report is not None
            told = await app.ref(spread.report).result("30s")
        assert len(told.held) == 1
        assert sorted([*told.accepted, *told.held]) == sorted([*people[2:7], "P7@b.org"])
        assert sorted(office.reached) == sorted([*people[2:7], "P7@b.org"])
        report = await app.jobs.get(spread.report)
        assert report.result["suppressed"] == ["p0@b.org"] and "550" in report.result["failed"]["p1@b.org"]
        assert len({mail.id for mail in office.mails}) == 6
        assert all(len(mail.recipients) == 1 for mail in office.mails)
        # The same campaign once more reaches nobody twice.
        async with working(app):
            again = await (await quick(app).enqueue(to=people[2:6], campaignId="spring", **HELLO)).result("20s")
            await until(lambda: _is_done(app, again.report), "the second report")
        assert len(office.mails) == 6


async def _is_done(app: Windlass, id: str) -> bool:
    return (await app.jobs.get(id)).is_final


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("security", ["starttls", "auto", "tls"])
async def test_a_password_goes_over_tls(security: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    app = Windlass("sqlite://:memory:")
    tls = {"tls_context": authority.server_side()} if security != "tls" else {}
    async with post_office(auth=True, private=security != "tls", **tls) as office, app:
        async with tls_front(office.port, authority) as front:
            login = {"smtp_user": "ann", "smtp_password": "hush-7-hush", "smtp_security": security}
            where = {"smtp_ca": authority.file, "smtp_port": front if security == "tls" else office.port}
            install(app, families=["mail"], settings=mail_settings(office, **login, **where))
            async with working(app):
                job = await ended(app, (await quick(app).options(max_attempts=2).enqueue(to="a@b.org", **HELLO)).id)
        assert job.state == "completed", job.error
        assert office.reached == ["a@b.org"]
        # Who is not trusted does not hear the password.
        other = Windlass("sqlite://:memory:")
        install(other, families=["mail"], settings=mail_settings(office, **login, smtp_port=where["smtp_port"]))
        if security == "tls":
            return
        async with other, working(other):
            job = await ended(other, (await quick(other).options(max_attempts=1).enqueue(to="b@b.org", **HELLO)).id)
        assert job.error is not None and job.error.category == "provider" and len(office.mails) == 1
