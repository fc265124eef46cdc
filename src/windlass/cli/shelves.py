"""The catalogue as people look at it: which kinds are ready here."""

from windlass.cli.options import Form
from windlass.cli.show import emit_json, emit_lines, emit_table, note
from windlass.cli.target import load_app


def emit_catalogue(form: Form, app_ref: str | None) -> None:
    """Print the ready-made kinds in the form asked for, by the settings that the app gave them, else by the environment's."""
    from windlass.catalogue.kinds import all_kinds
    from windlass.catalogue.readiness import SHARED, has_module, survey

    known = all_kinds()
    settings = None
    if app_ref is not None and all(map(has_module, SHARED)):
        from windlass.catalogue.installing import settings_of

        settings = settings_of(load_app(app_ref))
    states = survey(settings)
    if form is Form.IDS:
        emit_lines(state.kind for state in states)
    elif form is Form.JSON:
        items = [
            {
                "kind": state.kind,
                "family": state.family,
                "purpose": known[state.kind].purpose,
                "state": state.word,
                "lacks": [{"what": lack.what, "name": lack.name, "mend": lack.mend} for lack in state.lacks],
                "extra": known[state.kind].extra or None,
                "queue": known[state.kind].queue or None,
                "effect": known[state.kind].effect,
            }
            for state in states
        ]
        emit_json({"items": items, "next": None})
    else:
        emit_table(
            ["kind", "family", "state", "what to do"],
            [[state.kind, state.family, state.word, state.mend or "-"] for state in states],
            below=True,
        )
        extras = sorted({lack.name for state in states for lack in state.lacks if lack.what == "extra"})
        if extras:
            note(f"all extras that are missing: pip install 'windlass[{','.join(extras)}]'")
        note("in every app: dead-letter alerts (windlass alerts standard), windlass webhooks add")
