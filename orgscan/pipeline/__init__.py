"""What users do, one file each: scan, report, check, compare, verify, publish, sign, the demo.

Each combines the rooms below and contains no domain logic.
"""
