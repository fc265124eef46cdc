"""What a running handler has: its context, durable steps, cursors, chunks, captured logs."""
