"""The API against its own description: schemathesis makes requests of the OpenAPI document, right ones and wrong ones."""

import json
import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings

from tests.api_http.kit import ISSUER, SECRET, make_app, token
from tests.store.kit import Place
from windlass.api.asgi import RESOURCES, openapi
from windlass.api.docs_page import page
from windlass.api.problems import MEDIA_TYPE

SCALE = int(os.environ.get("WINDLASS_TEST_SCALE", "1"))
DOCUMENT = openapi()


def _app() -> Any:
    app = make_app(Place("sqlite://:memory:", "windlass", crosses_processes=False))
    return app.asgi(
        jwt_secret=SECRET, jwt_issuer=ISSUER, jwt_audience="windlass", docs="public", rate="off", failures="1000000/s"
    )


schema = schemathesis.openapi.from_asgi("/openapi.json", _app())


def _test_of(operation: str) -> Any:
    """One test for each operation, under a name of its own: Schemathesis calls all that one function makes the same, and of tests
    with one name pytest-xdist runs one."""

    @schema.include(operation_id=operation).parametrize()
    @settings(
        max_examples=12 * SCALE,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def keeps_to_its_schema(case: schemathesis.Case) -> None:
        response = case.call(headers={"Authorization": f"Bearer {token(role='admin')}"})
        assert response.status_code < 500, response.text
        case.validate_response(response, excluded_checks=EXCLUDED)

    return keeps_to_its_schema


OPERATIONS = sorted(
    each["operationId"]
    for methods in DOCUMENT["paths"].values()
    for each in methods.values()
    if each["operationId"] != "stream_events"  # has no end
)
globals().update({f"test_{operation}_keeps_to_its_schema": _test_of(operation) for operation in OPERATIONS})


EXCLUDED = [
    # An unknown method of a known path answers 405 with Allow; TRACE is the server's business, not the application's.
    schemathesis.checks.CHECKS.get_one("unsupported_method"),
    # Arguments belong to kinds: what the document allows may still not fit a kind, and is refused with 422.
    schemathesis.checks.CHECKS.get_one("positive_data_acceptance"),
]


def test_the_document_is_complete() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    operations = [each for methods in DOCUMENT["paths"].values() for each in methods.values()]
    assert len(operations) == sum(map(len, RESOURCES))
    assert len({each["operationId"] for each in operations}) == len(operations)
    for each in operations:
        assert each["summary"] and each["description"] and each["tags"] and each["x-permission"], each["operationId"]
        assert each["security"] == [{"bearer": []}]
        assert {"401", "403", "422", "429", "default"} <= set(each["responses"])
        assert MEDIA_TYPE in each["responses"]["default"]["content"]
        if "requestBody" in each and each["requestBody"]["required"]:
            assert "example" in each["requestBody"]["content"]["application/json"], each["operationId"]
    schemas = DOCUMENT["components"]["schemas"]
    references = {part.split('"')[0] for part in json.dumps(DOCUMENT).split('"#/components/schemas/')[1:]}
    assert references <= set(schemas)
    for name, each in schemas.items():
        assert "description" in each or "enum" in each, name


def test_the_page_holds_everything_and_loads_nothing() -> None:
    text = page(DOCUMENT)
    for methods in DOCUMENT["paths"].values():
        for each in methods.values():
            assert f'id="{each["operationId"]}"' in text
    assert "<script" not in text
    assert '="http' not in text and "='http" not in text
    assert "src=" not in text and "@import" not in text and "url(" not in text


@pytest.mark.parametrize(
    "operation", [each for routes in RESOURCES for each in routes if each.example], ids=lambda each: each.name
)
def test_examples_fit_their_types(operation: Any) -> None:
    import msgspec

    msgspec.json.decode(json.dumps(operation.example), type=operation.body)
