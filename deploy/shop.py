"""The app that the compose file runs until you put yours in its place."""

from windlass import Context, Windlass

app = Windlass()


@app.job(queue="mail")
async def send_email(ctx: Context, to: str) -> str:
    """Pretend to send an email."""
    await ctx.log(f"sending to {to}")
    return f"sent to {to}"
