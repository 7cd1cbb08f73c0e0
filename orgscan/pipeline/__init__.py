"""What users do, one file each: scan, report, check, compare, verify, publish, sign, the demo.

Each brings rooms together and knows nothing of its own.
"""
