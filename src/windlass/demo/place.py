"""Where a story takes place: its folder, and the servers that its workers talk to; written down for the workers."""

import os
from pathlib import Path

import msgspec

from windlass.errors import SettingsError

VARIABLE = "WINDLASS_DEMO"
"""The folder, for `-A windlass.demo.served:app`."""
_FILE = "place.json"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """`folder`: of everything that the story makes. `mail`, `board`: ports on this machine. `clamd`: where a scanner listens,
    empty for none. The programs by name or path."""

    folder: Path
    mail: int = 0
    board: int = 0
    clamd: str = ""
    ffmpeg: str = "ffmpeg"
    ffprobe: str = "ffprobe"
    espeak: str = "espeak-ng"

    @property
    def url(self) -> str:
        """The store's address."""
        return f"sqlite:///{self.folder / 'jobs.db'}"

    @property
    def storage(self) -> Path:
        """Where the files of the jobs are."""
        return self.folder / "files"

    @property
    def letters(self) -> Path:
        """Where the mail server puts what it accepts."""
        return self.folder / "mail"

    def write(self) -> None:
        """Write it down for `read_place`."""
        (self.folder / _FILE).write_bytes(msgspec.json.encode(self, enc_hook=str))


def read_place(folder: str | None = None) -> Place:
    """The place of this folder, else of the environment's. Raises `SettingsError`."""
    given = folder or os.environ.get(VARIABLE, "")
    try:
        return msgspec.json.decode((Path(given) / _FILE).read_bytes(), type=Place, dec_hook=lambda _, text: Path(text))
    except OSError as error:
        raise SettingsError(
            f"{VARIABLE} is {given!r}, which is no folder of a demo",
            field=VARIABLE,
            mend="run `windlass demo`, which prints its folder",
        ) from error
