"""The app of a story that takes place in `WINDLASS_DEMO`: `windlass worker -A windlass.demo.served:app`."""

from windlass.demo.place import read_place
from windlass.demo.story import make_app

app = make_app(read_place())
