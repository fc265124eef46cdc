"""The kind of job that writes posts about a text."""

from typing import TYPE_CHECKING

from windlass import exponential
from windlass.catalogue.kinds import Kind

if TYPE_CHECKING:
    from windlass.catalogue.settings import CatalogueSettings


def writers(settings: "CatalogueSettings") -> list[str]:
    """Who can write here, in the order in which they are asked."""
    ai = settings.ai
    own = ai.openai_base_url.rstrip("/") != "https://api.openai.com/v1"
    there = {
        "anthropic": bool(ai.anthropic_api_key.get_secret_value() and ai.anthropic_model),
        "openai": bool((own or ai.openai_api_key.get_secret_value()) and ai.openai_model),
        "extractive": True,
    }
    return [name for name in ai.content_providers if there.get(name)]


KINDS = (
    Kind(
        name="generate-content",
        family="content",
        purpose="Write posts about a text or a transcript: by a model, or of its own sentences without one",
        handler="windlass.catalogue.content:generate",
        input="windlass.catalogue.content:ContentInput",
        output="windlass.catalogue.content:ContentOutput",
        extra="ai",
        modules=("obstore", "httpx2"),
        effect="same keys; what was paid for is used again",
        options={"timeout": "5m", "backoff": exponential("2s")},
    ),
)
