"""Opens an app's resources once for a process, and closes them in reverse order."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from windlass.app import Windlass


@asynccontextmanager
async def opened(app: "Windlass") -> AsyncGenerator[dict[str, Any]]:
    """All of `app.resources`, by name."""
    found: dict[str, Any] = {}
    async with AsyncExitStack() as stack:
        for name, opener in app.resources.items():
            found[name] = await stack.enter_async_context(opener())
        yield found
