"""The dashboard's door: it serves the built client, which then speaks to the REST API like any other client."""
