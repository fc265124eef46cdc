"""How this command can be called again from here."""

import shlex
import shutil
import sys
from pathlib import Path


def own_name() -> str:
    """`windlass`, if the shell finds this one by it; else what does."""
    found = shutil.which("windlass")
    own = Path(sys.argv[0])
    if found and own.name == "windlass" and Path(found).resolve() == own.resolve():
        return "windlass"
    if own.name == "windlass" and own.is_file():
        here = Path.cwd()
        return shlex.quote(str(own.relative_to(here) if own.is_absolute() and own.is_relative_to(here) else own))
    return f"{shlex.quote(sys.executable)} -m windlass"
