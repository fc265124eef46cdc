"""What was made of a content before: a record beside the files, written last, believed only while all of them are there."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from windlass.catalogue.inputs import Artifact, Output
from windlass.catalogue.installing import Kit
from windlass.catalogue.storage import FileTooLarge, NoSuchFile

T = TypeVar("T", bound=Output)

_RECORD = "made.json"
_LARGEST = 8 << 20


async def recall(kit: Kit, where: str, model: type[T], files: Callable[[T], Iterable[Artifact]]) -> T | None:
    """What an earlier run kept under `where`, if all of its files are still as they were."""
    try:
        made = model.model_validate_json(await kit.storage.read(f"{where}{_RECORD}", _LARGEST))
        for artifact in files(made):
            if (await kit.storage.head(artifact.key)).bytes != artifact.bytes:
                return None
    except (NoSuchFile, FileTooLarge, ValueError):  # nothing, or a record of another version
        return None
    return made


async def keep(kit: Kit, where: str, made: Output) -> None:
    """Record what was made under `where`."""
    await kit.storage.put(f"{where}{_RECORD}", made.model_dump_json().encode(), media_type="application/json")
