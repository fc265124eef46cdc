"""Telling people and programs outside: webhooks and alerts, to real servers."""
