import json
import uuid
from datetime import UTC, datetime

import pytest
from django.db import connection
from rest_framework import serializers

from provisioning.engine.base import LogLevel, LogLine, LogSource
from provisioning.log import reading, writing
from provisioning.log.reading import log_chunks
from provisioning.log.window import LogWindow
from provisioning.models import ProvisionerJobLog
from tests.factories import claim, make_job

pytestmark = pytest.mark.django_db
START = 1_700_000_000
AWKWARD = ['"quoted"', "back\\slash \\n \\\\", "tab\there", "ü € 😀", "\u2028", "", "</script>", "%s %(x)s {} '"]


class PlainLog(serializers.ModelSerializer):
    """The shape as REST framework writes it: the reference for the SQL-built text."""

    log_source = serializers.CharField(source="source")
    log_level = serializers.CharField(source="level")

    class Meta:
        model = ProvisionerJobLog
        fields = ["id", "created_at", "log_source", "log_level", "stage", "output"]


def job_with(outputs):
    job = make_job()
    lease = claim()
    lines = [
        LogLine(LogSource.ENGINE, LogLevel.WARN, 'Sta"ge', output, START + number)
        for number, output in enumerate(outputs, start=1)
    ]
    writing.append(job.pk, lease.token, lines)
    return job


def read(job, **window):
    return b"".join(log_chunks(job.pk, LogWindow(**window)))


def test_lines_have_the_shape_of_the_plain_serializer():
    job = job_with(AWKWARD)
    text = read(job)
    rows = json.loads(text)
    assert rows == PlainLog(ProvisionerJobLog.objects.filter(job=job), many=True).data
    assert list(rows[0]) == PlainLog.Meta.fields
    assert [row["output"] for row in rows] == AWKWARD
    assert text.startswith(b'[{"id":1,"created_at":"2023-11-14T22:13:21Z","log_source":"provisioner",')


def moment(number):
    return datetime.fromtimestamp(START + number, UTC)


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"after_id": 2}, [3, 4, 5]),
        ({"before_id": 2}, [1]),
        ({"after_id": 1, "before_id": 4}, [2, 3]),
        ({"after_id": 3, "before_id": 3}, []),
        ({"after_id": -1}, [1, 2, 3, 4, 5]),
        ({"before_id": -1}, []),
        ({"after_time": moment(2)}, [3, 4, 5]),
        ({"before_time": moment(2)}, [1]),
        ({"after_time": moment(1), "before_time": moment(4)}, [2, 3]),
        ({"after_id": 1, "before_time": moment(4)}, [2, 3]),
        ({"after_time": moment(1), "before_id": 5}, [2, 3, 4]),
    ],
)
@pytest.mark.parametrize("page", [2, 500])
def test_window_bounds_are_exclusive(monkeypatch, page, window, expected):
    monkeypatch.setattr(reading, "PAGE_LINES", page)
    monkeypatch.setattr(reading, "PAGE_SQL", reading.PAGE_SQL.replace("LIMIT 500", f"LIMIT {page}"))
    job = job_with("abcde")
    job_with("xyz")
    assert [row["id"] for row in json.loads(read(job, **window))] == expected


def test_an_empty_log_and_an_unknown_job():
    assert read(make_job()) == b"[]\n"
    assert b"".join(log_chunks(uuid.uuid4(), LogWindow())) == b"[]\n"


@pytest.mark.parametrize("count", [499, 500, 501, 1000])
def test_pieces_join_without_gaps_or_repeats(count):
    job = job_with(str(number) for number in range(count))
    assert [row["id"] for row in json.loads(read(job))] == list(range(1, count + 1))


def test_a_hundred_thousand_lines_are_read_in_pieces_of_similar_size():
    job = make_job()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO provisioning_provisionerjoblog (job_id, id, created_at, source, level, stage, output)"
            " SELECT %s, n, now(), 'provisioner', 'info', 'Planning', repeat('x', 100)"
            "   FROM generate_series(1, 100000) n",
            [job.pk],
        )
    chunks = log_chunks(job.pk, LogWindow())
    first = next(chunks)
    assert 0 < len(first) < 1_000_000
    assert max(map(len, chunks)) < 4 * len(first)
