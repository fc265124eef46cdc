"""What `@app.job(...)` declares: handlers, their options, limits, keys and ranking, read and checked once."""
