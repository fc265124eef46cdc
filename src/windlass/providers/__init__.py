"""Services outside that jobs call: circuit breakers shared by all workers, failover chains, a price per call."""

from windlass.providers.provider import Chain, Provider

__all__ = ["Chain", "Provider"]
