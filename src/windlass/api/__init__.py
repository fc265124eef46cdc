"""The REST API: a FastAPI application over an app's public verbs, made by `app.asgi()` and served by `windlass serve`."""
