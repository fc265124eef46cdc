"""`windlass keys`: API keys."""

from enum import StrEnum
from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Form, Plain, noun

app = noun("API keys: create, list, revoke.")


class KeyRole(StrEnum):
    """What the key is to the installation."""

    VIEWER = "viewer"
    USER = "user"
    OPERATOR = "operator"
    ADMIN = "admin"


Name = Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The key's id.")]
RoleOption = Annotated[KeyRole, typer.Option("--role", envvar="WINDLASS_ROLE", help="What it may do.")]
UserOption = Annotated[
    str | None, typer.Option("--user", metavar="USER", envvar="WINDLASS_USER", help="Whose jobs are its own.")
]
Project = Annotated[
    str | None, typer.Option("--project", metavar="NAME", envvar="WINDLASS_PROJECT", help="Only this project's jobs.")
]
Scopes = Annotated[
    str | None, typer.Option("--scopes", metavar="A,B", envvar="WINDLASS_SCOPES", help="Only these of its rights.")
]
Expires = Annotated[
    str | None, typer.Option("--expires", metavar="DURATION", envvar="WINDLASS_EXPIRES", help="Such as 90d.")
]


@app.command("create")
def create(
    name: Name,
    role: RoleOption = KeyRole.USER,
    user: UserOption = None,
    project: Project = None,
    scopes: Scopes = None,
    expires: Expires = None,
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Create a key and print it. It is shown this once."""
    from windlass.cli.keyring import Wanted, create_key
    from windlass.cli.target import Target

    create_key(Target(url, app_ref, namespace), Wanted(name, role.value, user, project, scopes, expires), output)


@app.command("ls")
def ls(
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """List keys, revoked and expired ones too."""
    from windlass.cli.keyring import list_keys
    from windlass.cli.target import Target

    list_keys(Target(url, app_ref, namespace), output)


@app.command("revoke")
def revoke(
    id: Id,
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Revoke a key for good; servers notice within seconds."""
    from windlass.cli.keyring import revoke_key
    from windlass.cli.target import Target

    revoke_key(Target(url, app_ref, namespace), id, output)
