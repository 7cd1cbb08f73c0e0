"""The audit role: what it may do, and templates that create it in every account."""
