"""Templates: kept, filled, versioned, refused; in Python and over HTTP."""

import pytest

from tests.api_http.kit import opened, problem
from tests.store.kit import Place
from windlass import InvalidArgs, InvalidOption, UnknownKind, Windlass
from windlass.errors import TemplateNotFound

API = "/api/v1"


@pytest.fixture
def app() -> Windlass:
    app = Windlass("sqlite://:memory:")

    @app.job
    def greet(name: str, greeting: str = "hello") -> str:
        return f"{greeting} {name}"

    return app


async def test_a_job_is_made_of_a_template(app: Windlass) -> None:
    async with app:
        made = await app.templates.put("hi", "greet", {"greeting": "hi"}, queue="mail", priority=5, tags=["warm"])
        ref = await app.templates.enqueue("hi", name="ann")
        await app.drain()
        job = await ref.job()
        assert (job.result, job.queue, job.priority) == ("hi ann", "mail", 5)
        assert set(job.tags) == {"warm", "template:hi"}
        again = await app.templates.put("hi", "greet", {"greeting": "good day"})
        assert (made.version, again.version) == (1, 2)
        assert [each.name for each in await app.templates.list()] == ["hi"]
        with pytest.raises(InvalidArgs):
            await app.templates.enqueue("hi")
        await app.templates.remove("hi", actor="ann")
        with pytest.raises(TemplateNotFound):
            await app.templates.enqueue("hi", name="ann")
        assert [act.action for act in (await app.audit(target="template:hi")).items] == [
            "remove-template", "put-template", "put-template",
        ]  # fmt: skip


async def test_what_cannot_be_right_is_refused_when_it_is_kept(app: Windlass) -> None:
    async with app:
        with pytest.raises(UnknownKind):
            await app.templates.put("x", "nothing")
        with pytest.raises(InvalidOption):
            await app.templates.put("x", "greet", priority=1_000)
        with pytest.raises(InvalidOption):
            await app.templates.put("x y", "greet")
        with pytest.raises(InvalidOption):
            await app.templates.put("x", "greet", {"name": "a" * 70_000})
        assert await app.templates.list() == []


async def test_over_http(place: Place) -> None:
    async with opened(place) as door:
        operator, user = await door.as_("operator"), await door.as_("user")
        body = {"job": {"kind": "add", "args": {"b": 10}, "queue": "sums"}, "description": "Add ten"}
        made = await operator.put(f"{API}/templates/ten", json=body)
        assert made.json()["version"] == 1 and made.json()["options"] == {"queue": "sums"}
        answer = await user.post(f"{API}/templates/ten/jobs", json={"args": {"a": 1}})
        assert answer.status_code == 202
        await door.app.drain()
        job = (await user.get(f"{API}/jobs/{answer.json()['id']}")).json()
        assert (job["result"], job["queue"], job["user"], job["tags"]) == (11, "sums", "ann", ["template:ten"])
        problem(await user.put(f"{API}/templates/ten", json=body), 403, "forbidden")
        problem(await user.post(f"{API}/templates/ten/jobs", json={"args": {"a": "x"}}), 422, "invalid-args")
        problem(await user.post(f"{API}/templates/none/jobs", json={}), 404, "template-not-found")
        tag = (await operator.get(f"{API}/templates/ten")).headers["etag"]
        assert (await operator.put(f"{API}/templates/ten", json=body, headers={"If-Match": tag})).json()["version"] == 2
        problem(
            await operator.put(f"{API}/templates/ten", json=body, headers={"If-Match": tag}), 412, "changed-meanwhile"
        )
        assert (await operator.delete(f"{API}/templates/ten")).json() == {"name": "ten", "outcome": "removed"}
