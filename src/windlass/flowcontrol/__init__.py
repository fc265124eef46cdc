"""Limits, quotas and cached results, as an app sees and sets them."""
