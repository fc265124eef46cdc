"""Mail from the catalogue: a template to one reader, one message each to many, and a report of what became of them."""

import asyncio

from windlass import Windlass, catalogue
from windlass.catalogue.settings import CatalogueSettings, MailSettings, StorageSettings
from windlass.catalogue.suppression import Suppressions

app = Windlass("sqlite://:memory:")
app.queue("email-sending", concurrency=10)  # instead of the preset's 100 a minute
settings = CatalogueSettings(
    # Production: WINDLASS_EMAIL_FROM and WINDLASS_SMTP_HOST, or SENDGRID_API_KEY. The provider `file` writes messages instead.
    mail=MailSettings(sender="shop@example.com", sender_name="The Shop", provider="file"),
    storage=StorageSettings(url="memory://"),
)
storage = catalogue.Storage.open(settings.storage)
kinds = catalogue.install(app, families=["mail"], settings=settings, storage=storage)


async def main() -> None:
    async with app:
        welcome = await app.enqueue(
            "send-email", to="ann@example.org", template="welcome", data={"name": "Ann"}, idempotencyKey="signup-ann"
        )
        await Suppressions(app).add("bob@example.org", "unsubscribed")
        news = await kinds["send-email"].enqueue(
            to=["ann@example.org", "bob@example.org", "cid@example.org"],
            template="newsletter",
            data={"title": "In spring", "articles": [{"title": "Tea", "summary": "It is back."}]},
            category="marketing",
            campaignId="spring",
            listUnsubscribe="https://example.com/unsubscribe",
        )
        await app.drain()
        print("welcome:", (await welcome.result()).message_id)
        report = await app.ref((await news.result()).report).result()
        print("news: accepted", report.accepted, "suppressed", report.suppressed, "held", report.held)
        written = [each.key async for each in storage.list("mail/")]
        print(len(written), "messages")
        print((await storage.read(written[0], 10_000)).decode().split("\r\n\r\n")[0])
        assert len(written) == 3


asyncio.run(main())
