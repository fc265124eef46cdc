"""Mails while workers and the mail server are killed: each recipient exactly once, or held and listed."""

from pathlib import Path

import pytest

from tests.catalogue.mail_storm import Storm, play
from tests.store.places import a_file_and_a_server, place_for


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("engine", a_file_and_a_server(__name__))
async def test_nobody_gets_two_and_nobody_is_forgotten(engine: str, tmp_path: Path) -> None:
    storm = Storm(mails=120, worker_kills=6, server_kills=2, cut=0.02, lease=1.0)
    with place_for(engine) as place:
        tally = await play(place.url, place.namespace, tmp_path, storm, 200)
    assert (tally.doubles, tally.lost, tally.failed) == (0, 0, 0), tally
    assert tally.delivered[1] + tally.held - tally.held_delivered == storm.mails
    assert tally.held < storm.mails / 3
