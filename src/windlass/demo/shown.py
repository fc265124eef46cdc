"""The app behind `windlass demo --dashboard`: the story's kinds, to run its jobs again, in a shop that is always busy."""

from windlass.demo.place import read_place
from windlass.demo.story import furnish
from windlass.showcase import app

furnish(app, read_place())
