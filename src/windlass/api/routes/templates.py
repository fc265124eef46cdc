"""Templates: jobs by name, made with what differs."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from windlass.api.operation import Call, Reply, Routes
from windlass.api.paging import Listing, whole
from windlass.api.problems import malformed
from windlass.api.routes.jobs import Created, store_one
from windlass.api.specs import JobOptionsSpec, JobSpec, Maker
from windlass.operate.templates import Template

routes = Routes("templates", "Templates: jobs by name, with arguments and options that are kept.")


class NewTemplate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The job, as `POST /jobs` takes it; arguments may be missing until a job is made."""

    job: JobOptionsSpec
    description: Annotated[str, Meta(max_length=500)] = ""


class TemplateView(msgspec.Struct, frozen=True, kw_only=True):
    """A template. `version` grows with each change; its jobs carry the tag `template:<name>`."""

    name: str
    kind: str
    args: dict[str, Any]
    options: dict[str, Any]
    description: str
    version: int
    changed_at: datetime
    changed_by: str


class FromTemplate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What differs: `args` replace those of the template one by one."""

    args: dict[str, Any] = {}


class RemovedTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """A template that is gone."""

    name: str
    outcome: Literal["removed"] = "removed"


@routes.get("/templates")
async def list_templates(call: Call) -> Reply[Listing[TemplateView]]:
    """List templates by name."""
    return whole(call, [_view(each) for each in await call.app.templates.list()])


@routes.get("/templates/{name}", tagged=True)
async def get_template(call: Call, name: str) -> TemplateView:
    """Show a template."""
    return _view(await call.app.templates.get(name))


@routes.put(
    "/templates/{name}",
    tagged=True,
    example={"job": {"kind": "send_email", "args": {"template": "welcome"}, "queue": "mail"}, "description": "Greet"},
)
async def put_template(call: Call, name: str, body: NewTemplate) -> TemplateView:
    """Make or replace a template; with `If-Match`, only if it still is as the client has seen it."""
    if "if-match" in call.request.headers:
        call.require_match(_view(await call.app.templates.get(name)))
    given: dict[str, Any] = msgspec.to_builtins(body.job)
    options = {field: value for field, value in given.items() if value is not None and field not in ("kind", "args")}
    put = call.app.templates.put
    made = await put(
        name, body.job.kind, body.job.args, description=body.description, actor=call.caller.actor, **options
    )
    return _view(made)


@routes.delete("/templates/{name}")
async def delete_template(call: Call, name: str) -> RemovedTemplate:
    """Forget a template; its jobs stay."""
    await call.app.templates.remove(name, actor=call.caller.actor)
    return RemovedTemplate(name=name)


@routes.post(
    "/templates/{name}/jobs",
    status=202,
    others={200: Created},
    needs_body=False,
    example={"args": {"to": "a@example.com"}},
)
async def create_job_from_template(call: Call, name: str, body: FromTemplate) -> Reply[Created]:
    """Create a job of a template, within what the caller may."""
    found = await call.app.templates.get(name)
    tags = [*found.options.get("tags", ()), found.tag]
    described = {**found.options, "kind": found.kind, "args": found.filled(body.args), "tags": tags}
    try:
        spec = msgspec.convert(described, JobSpec)
    except msgspec.ValidationError as error:  # made by Python code, with options that only Python has
        raise malformed(error) from None
    return await store_one(call, await Maker(call).one(spec))


def _view(template: Template) -> TemplateView:
    return TemplateView(**{field: getattr(template, field) for field in TemplateView.__struct_fields__})
