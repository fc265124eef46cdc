"""`windlass openapi`: the API's description, or its documentation page."""

from typing import Annotated

import typer

from windlass.cli.options import single

app = single()

AsHtml = Annotated[bool, typer.Option("--html", envvar="WINDLASS_HTML", help="The page for people instead.")]


@app.command("openapi")
def openapi(html: AsHtml = False) -> None:
    """Print the OpenAPI 3.1 document of the REST API; it is the same for every app."""
    from windlass.cli.serving import require_api

    document = require_api().asgi.openapi()
    if html:
        from windlass.api.docs_page import page

        print(page(document))
        return
    import json

    print(json.dumps(document, indent=2, ensure_ascii=False))
