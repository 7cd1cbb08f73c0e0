"""What officers typed: risks accepted until a date, and entries beside findings."""
