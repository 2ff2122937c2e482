"""Faults injected into the whole system while jobs run and clients follow their logs. A count of losses follows.

``make faults`` injects 200 faults, ``python -m tests.faults 20 --seed 7`` injects 20. The last line is the count.
"""
