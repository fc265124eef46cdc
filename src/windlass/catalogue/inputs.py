"""What inputs and outputs of the catalogue's kinds are made of: models that take camelCase and snake_case, and nothing else."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Input(BaseModel):
    """The arguments of a kind. `contentId` and `content_id` are the same field; a field that there is not is refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, str_max_length=1_000_000
    )


class Part(Input):
    """A part of an input."""


class Output(BaseModel):
    """What a kind returns; stored by its snake_case names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class JobInput(Input):
    """The fields that every kind takes."""

    user_id: str | None = Field(default=None, max_length=200)
    tenant: str = Field(default="default", pattern=r"^[A-Za-z0-9_.-]{1,100}$")
    idempotency_key: str | None = Field(default=None, min_length=1, max_length=200)
    """Names the business operation: two jobs with the same key have one effect."""
    metadata: dict[str, Any] = Field(default_factory=dict)


class Artifact(Output):
    """A file that a job made: `key` in the storage."""

    key: str
    media_type: str
    bytes: int
    sha256: str
    name: str = ""


def _one_line(text: str) -> str:
    if any(ord(c) < 32 or ord(c) == 127 or c in "\u0085\u2028\u2029" for c in text):
        raise ValueError("holds a line break or another control character")
    return text


Line = Annotated[str, AfterValidator(_one_line)]
"""Text of one line, as headers need it."""


__all__ = ["Artifact", "Input", "JobInput", "Line", "Output", "Part"]
