"""Work that has a shape: chains, groups, batches, any graph of jobs."""
