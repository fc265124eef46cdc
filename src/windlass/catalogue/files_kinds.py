"""The kind of job for files of users."""

from windlass.catalogue.kinds import Kind

KINDS = (
    Kind(
        name="file-processing",
        family="files",
        purpose="Check a file's type and size, scan it for viruses, make pictures smaller, convert them, make thumbnails",
        handler="windlass.catalogue.files:process_file",
        input="windlass.catalogue.files:FileInput",
        output="windlass.catalogue.files:FileOutput",
        extra="files",
        modules=("PIL", "puremagic", "obstore", "httpx2"),
        effect="same keys, overwritten",
        options={"timeout": "10m"},
    ),
)
