"""The worker: claims jobs, runs them, and keeps their leases."""
