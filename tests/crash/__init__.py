"""The crash suite: faults at random on every engine, a recorded history, and a checker that explains every line of it."""
