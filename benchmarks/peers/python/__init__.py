"""One module per Python peer; `driver` runs them inside the peer's own environment, so only the standard library is shared.

A module offers four functions, plain or `async`:

- `connect()`: a (async) context manager that gives the producer's handle;
- `enqueue(handle, data)`: one job, returned once the store has it;
- `enqueue_bulk(handle, batch)`: up to 1,000 jobs by the fastest way the peer offers;
- `work(processes)`: run a worker until it is signalled, its handler being `job.run`;

and, where a schema must be made first, `prepare()`.
"""
