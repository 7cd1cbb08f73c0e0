"""Collecting: the organization's tree, a session in each account, and its evidence."""
