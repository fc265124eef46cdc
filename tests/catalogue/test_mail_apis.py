"""Mail by HTTP: the vendors' SDKs vouch for the fakes, and the handler speaks to the fakes as the SDKs do."""

import base64
from typing import Any

import pytest

from tests.catalogue.mail_apis import KEY, MailApis, mail_apis
from tests.worker.kit import ended, working
from windlass.app import Windlass
from windlass.catalogue import CatalogueSettings, install
from windlass.catalogue.settings import MailSettings
from windlass.values.retry import fixed

HELLO = {"subject": "Hello", "text": "Hello.", "html": "<p>Hello.</p>"}
NAMES = ["sendgrid", "resend", "postmark"]


# the vendors' SDKs


@pytest.mark.filterwarnings("ignore")
def test_sendgrids_sdk_is_content() -> None:
    sendgrid = pytest.importorskip("sendgrid")
    from python_http_client import exceptions
    from sendgrid.helpers.mail import Mail

    mail = Mail("shop@example.com", "a@b.org", "Hello", plain_text_content="x", html_content="<p>x</p>")
    with mail_apis() as apis:
        client = sendgrid.SendGridAPIClient(KEY, host=apis.url)
        answer = client.send(mail)
        assert answer.status_code == 202 and answer.headers["X-Message-Id"]
        assert apis.accepted["sendgrid"] == [mail.get()]
        for status, error in (
            (429, exceptions.TooManyRequestsError),
            (503, exceptions.ServiceUnavailableError),
            (500, exceptions.InternalServerError),
            (413, exceptions.PayloadTooLargeError),
        ):
            apis.answers.append(status)
            with pytest.raises(error):
                client.send(mail)
        with pytest.raises(exceptions.UnauthorizedError):
            sendgrid.SendGridAPIClient("wrong", host=apis.url).send(mail)
        with pytest.raises(exceptions.BadRequestsError) as bad:
            client.send({**mail.get(), "content": []})
        assert "content" in str(bad.value.to_dict)
        apis.answers.append("cut")
        with pytest.raises(OSError):
            client.send(mail)


@pytest.mark.filterwarnings("ignore")
def test_resends_sdk_is_content(monkeypatch: pytest.MonkeyPatch) -> None:
    resend = pytest.importorskip("resend")
    from resend import exceptions

    mail = {"from": "shop@example.com", "to": ["a@b.org"], "subject": "Hello", "text": "x"}
    with mail_apis() as apis:
        monkeypatch.setattr(resend, "api_url", apis.url)
        monkeypatch.setattr(resend, "api_key", KEY)
        first = resend.Emails.send(mail, {"idempotency_key": "one"})
        assert resend.Emails.send(mail, {"idempotency_key": "one"})["id"] == first["id"]
        assert len(apis.accepted["resend"]) == 1
        apis.answers.append(429)
        with pytest.raises(exceptions.RateLimitError):
            resend.Emails.send(mail)
        with pytest.raises(exceptions.MissingRequiredFieldsError):
            resend.Emails.send({**mail, "to": []})
        monkeypatch.setattr(resend, "api_key", "wrong")
        with pytest.raises(exceptions.InvalidApiKeyError):
            resend.Emails.send(mail)


@pytest.mark.filterwarnings("ignore")
def test_postmarks_client_is_content() -> None:
    core = pytest.importorskip("postmarker.core")
    from postmarker.exceptions import ClientError

    with mail_apis() as apis:
        client = core.PostmarkClient(server_token=KEY, root_api_url=apis.url + "/")
        answer = client.emails.send(From="shop@example.com", To="a@b.org", Subject="Hello", TextBody="x")
        assert answer["ErrorCode"] == 0 and answer["MessageID"]
        with pytest.raises(ClientError, match="406"):
            client.emails.send(From="shop@example.com", To="inactive@b.org", Subject="Hello", TextBody="x")
        with pytest.raises(ClientError, match="10"):
            core.PostmarkClient(server_token="wrong", root_api_url=apis.url + "/").emails.send(
                From="shop@example.com", To="a@b.org", Subject="Hello", TextBody="x"
            )


# the handler


def settings_for(apis: MailApis, name: str, **more: Any) -> CatalogueSettings:
    given: dict[str, Any] = {
        "sender": "shop@example.com",
        "sender_name": "The Shop",
        "provider": name,
        "rate_pause": 0.05,
    }
    keys = {"sendgrid_api_key": KEY, "resend_api_key": KEY, "postmark_token": KEY}
    places = {f"{each}_base_url": apis.url for each in NAMES}
    return CatalogueSettings(mail=MailSettings(**(given | keys | places | more)))


def quick(app: Windlass) -> Any:
    return app.handlers["send-email"].options(backoff=fixed("20ms"))


@pytest.mark.parametrize("name", NAMES)
async def test_a_mail_in_the_providers_words(app: Windlass, name: str) -> None:
    with mail_apis() as apis:
        install(app, families=["mail"], settings=settings_for(apis, name))
        async with app, working(app):
            ref = await quick(app).enqueue(
                to="Ann <ann@b.org>",
                cc="bob@b.org",
                bcc="boss@b.org",
                replyTo="help@example.com",
                headers={"X-Order": "7"},
                attachments=[{"name": "n.txt", "contentB64": base64.b64encode(b"note").decode()}],
                **HELLO,
            )
            result = await ref.result("20s")
        [body] = apis.accepted[name]
        assert result.provider == name and list(result.accepted) == ["ann@b.org", "bob@b.org", "boss@b.org"]
        text = str(body)
        for part in (
            "ann@b.org",
            "bob@b.org",
            "boss@b.org",
            "help@example.com",
            "X-Order",
            "Hello.",
            "n.txt",
            "The Shop",
        ):
            assert part in text, part
        assert result.message_id in text
        if name == "sendgrid":
            assert body["personalizations"][0]["bcc"] == [{"email": "boss@b.org"}]
            assert body["attachments"][0]["content"] == base64.b64encode(b"note").decode()


@pytest.mark.parametrize("name", NAMES)
async def test_what_answers_mean(app: Windlass, name: str) -> None:
    with mail_apis() as apis:
        install(app, families=["mail"], settings=settings_for(apis, name))
        async with app, working(app):

            async def sent(to: str, *answers: int | str, **options: Any) -> Any:
                apis.answers.extend(answers)
                return await ended(app, (await quick(app).options(**options).enqueue(to=to, **HELLO)).id)

            busy = await sent("a1@b.org", 429)
            assert (busy.state, busy.attempt) == ("completed", 1)
            down = await sent("a2@b.org", 503)
            assert (down.state, down.attempt) == ("completed", 2)
            assert [each.error.category for each in down.attempts if each.error] == ["provider"]
            bad = await sent("a3@b.org", 400)
            assert (bad.state, bad.attempt) == ("failed", 1) and bad.error.category == "permanent"
            key = await sent("a4@b.org", 401, max_attempts=1)
            assert key.error.category == "provider" and KEY not in str(key.error)
        assert len(apis.accepted[name]) == 2


@pytest.mark.parametrize("name", ["sendgrid", "postmark"])
async def test_a_lost_answer_is_held(app: Windlass, name: str) -> None:
    with mail_apis() as apis:
        install(app, families=["mail"], settings=settings_for(apis, name, fallbacks=("resend",)))
        async with app, working(app):
            for n, answer in enumerate(("cut", "hang up", 500, 502)):
                apis.answers.append(answer)
                job = await ended(app, (await quick(app).enqueue(to=f"a{n}@b.org", **HELLO)).id)
                assert job.error is not None and job.error.category == "held", answer
            assert len(await app.effects.list(name="email")) == 4
        assert len(apis.accepted[name]) == 1 and not apis.accepted["resend"]


async def test_resend_knows_what_it_has_done(app: Windlass) -> None:
    with mail_apis() as apis:
        install(app, families=["mail"], settings=settings_for(apis, "resend"))
        async with app, working(app):
            for n, answers in enumerate((["cut"], ["hang up", "cut"], [500])):
                apis.answers.extend(answers)
                job = await ended(app, (await quick(app).enqueue(to=f"a{n}@b.org", **HELLO)).id)
                assert (job.state, job.attempt) == ("completed", 1), answers
        assert len(apis.accepted["resend"]) == 3


async def test_the_next_provider_takes_over_for_all_workers(app: Windlass) -> None:
    with mail_apis() as apis:
        install(app, families=["mail"], settings=settings_for(apis, "sendgrid", fallbacks=("postmark",)))
        async with app, working(app):
            for n, status in enumerate((503, 401, 429)):
                apis.answers.append(status)
                job = await ended(app, (await quick(app).enqueue(to=f"a{n}@b.org", **HELLO)).id)
                assert (job.state, job.attempt) == ("completed", 1), status
        assert len(apis.accepted["postmark"]) == 3 and not apis.accepted["sendgrid"]
