"""A short run of ``make faults``: every kind of fault twice."""

from tests.faults.injections import INJECTIONS
from tests.faults.run import inject_in_process


def test_nothing_is_lost_through_twenty_faults():
    status, printed = inject_in_process(2 * len(INJECTIONS))
    last = printed.splitlines()[-1]
    assert status == 0, printed[-4000:]
    assert last.startswith(f"{2 * len(INJECTIONS)} injections, 0 lost, 0 completed twice, 0 not terminal")
