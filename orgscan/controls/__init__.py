"""Controls: values with a pure predicate, evaluated over whole tables for one ``as_of``.

From the bottom up: thresholds and frameworks, the control model (:mod:`.control`), controls by
subject (:mod:`.root`, :mod:`.console`, ...), all of them (:mod:`.catalogue`), and their evaluation.
"""
