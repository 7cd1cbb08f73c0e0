"""What the tests share: worlds, faults, and a simulator that serves them."""
