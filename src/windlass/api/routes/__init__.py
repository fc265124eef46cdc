"""One module per resource; each holds its `routes`."""
