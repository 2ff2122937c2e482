"""Injects faults into the whole system while jobs run and are followed, then counts lost and duplicate results.

``make faults`` injects 200 faults, ``python -m tests.faults 20 --seed 7`` injects 20. The last line is the summary.
"""
