"""Faults injected into the whole system while jobs run and are followed; then everything is counted.

``make faults`` injects 200, ``python -m tests.faults 20 --seed 7`` that many. The last line says what was lost.
"""
