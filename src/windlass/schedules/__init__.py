"""Recurring work: what code and operators declare, and the jobs that keep a store tidy."""
