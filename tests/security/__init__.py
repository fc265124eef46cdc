"""Attacks: on addresses, streams, sessions, pages and receivers. Each case is one of a list that peers were bitten by."""
