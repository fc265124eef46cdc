"""Alerts: rules over the health of queues, workers and schedules, and the channels that are told when one fires or ends."""
