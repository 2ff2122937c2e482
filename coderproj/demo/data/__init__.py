"""The data of a deployment that has been used for months, for looking at and for benchmarks.

``filling.fill`` writes it with COPY, in one transaction. The same seed and time give the same data.
"""
