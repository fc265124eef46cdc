"""Facts and decisions about jobs, queues and schedules: frozen values and pure functions, without I/O."""
