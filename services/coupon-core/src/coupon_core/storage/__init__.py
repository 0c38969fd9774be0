"""All SQL of coupon-core: a file per table, each statement above the one function that runs it.

Joins are always from `unnest` to an index, so that no plan depends on statistics.
"""
