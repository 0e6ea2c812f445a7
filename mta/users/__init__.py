"""Accounts, their passwords and their logins."""
