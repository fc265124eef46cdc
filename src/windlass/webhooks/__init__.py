"""Webhooks: what happens to jobs and workflows, told to addresses outside, signed, retried by the queue itself."""
