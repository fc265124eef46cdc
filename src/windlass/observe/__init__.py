"""What an operator sees: metrics, health, exposition for Prometheus, and traces."""
