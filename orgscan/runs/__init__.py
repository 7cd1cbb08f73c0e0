"""The run directory: evidence, tables, manifest, seal and signature, and the history of runs."""
