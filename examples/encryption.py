"""Payload encryption: what is secret is ciphertext in the store, and plain in the handler."""

import asyncio

from windlass import Windlass
from windlass.secrecy import Keys, Secret, generate_key

new, old = generate_key(), generate_key()  # in earnest: WINDLASS_ENCRYPTION_KEYS="2026-11:...,2025-11:..."
app = Windlass("sqlite://:memory:", encryption=Keys({"2026-11": new, "2025-11": old}))


@app.job(encrypt=True)
async def charge(card: str, amount: int) -> dict[str, str]:
    return {"charged": card[-4:]}


@app.job(max_attempts=1)
async def log_in(user: str, password: Secret[str]) -> str:
    raise PermissionError(f"{password} is not the password of {user}")


async def main() -> None:
    async with app:
        paid = await charge.enqueue("4111 1111 1111 1111", 250)
        refused = await log_in.enqueue("ann", password="hunter22")
        await app.drain()
        print("result:", await paid.result())

        stored = await paid.job()
        print("in the store:", stored.args["$sealed"][:10], "...")
        wrong = await refused.job()
        print("argument:", wrong.args["user"], list(wrong.args["password"]))
        print("error:", wrong.error.message if wrong.error else None)

        shown = await app.jobs.reveal(paid.id, actor="ann")
        print("for ann's eyes:", shown.job.args)
        print("on record:", [(seen.id == paid.id, seen.actor) for seen in await app.secrecy.reveals()])
        print("jobs by key:", (await app.secrecy.standing()).ended)


asyncio.run(main())
