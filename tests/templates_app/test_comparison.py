"""The comparison of two versions."""

import pytest

from coderproj.base.bounded import OverLimit
from coderproj.base.errors import Invalid
from coderproj.identity.actor import Actor
from provisioning.engine import base
from provisioning.models import ProvisionerJob
from templates_app.comparison import Change, compare, compare_files, versions
from templates_app.source import MAX_LINE_CHARACTERS, MAX_LINES, MAX_TEXT_BYTES
from templates_app.tasks.comparison import (
    MAX_LINES_SHOWN,
    MAX_SPANS,
    TOO_DIFFERENT,
    TOO_MANY_LINES,
    compare_archives,
)
from tests.factories import make_file, make_organization, make_template, make_user, make_version
from tests.vocabulary import tar_of


def changes(before, after):
    return compare_files(tar_of(before), tar_of(after))


def text_of(hunk):
    return [line.sign + "".join(span.text for span in line.spans) for line in hunk.lines]


def marked(line):
    return [span.text for span in line.spans if span.marked]


def test_the_order_of_members_is_not_a_difference():
    assert changes({"main.tf": "a\n", "b/c.tf": "x"}, {"b/c.tf": "x", "main.tf": "a\n"}) == ()


def test_added_removed_and_changed_files_are_listed_by_path():
    found = changes(
        {"b.tf": "one\n", "z.tf": "same", "c.tf": "x\n"}, {"a.tf": "new\n", "b.tf": "two\n", "z.tf": "same"}
    )
    assert [(file.path, file.change, file.added, file.removed) for file in found] == [
        ("a.tf", Change.ADDED, 1, 0),
        ("b.tf", Change.CHANGED, 1, 1),
        ("c.tf", Change.REMOVED, 0, 1),
    ]
    assert [file.hunks[0].header for file in found] == ["@@ -0,0 +1 @@", "@@ -1 +1 @@", "@@ -1 +0,0 @@"]


def test_hunks_have_line_numbers_of_both_sides_and_three_lines_of_context():
    before = [f"line {number}" for number in range(1, 31)]
    after = [*before]
    after[9] = "line ten"
    after.insert(25, "inserted")
    [file] = changes({"main.tf": "\n".join(before)}, {"main.tf": "\n".join(after)})
    first, second = file.hunks
    assert first.header == "@@ -7,7 +7,7 @@"
    assert text_of(first) == [
        " line 7",
        " line 8",
        " line 9",
        "-line 10",
        "+line ten",
        " line 11",
        " line 12",
        " line 13",
    ]
    assert [(line.before, line.after) for line in first.lines][2:6] == [(9, 9), (10, None), (None, 10), (11, 11)]
    assert second.header == "@@ -23,6 +23,7 @@"
    assert [(line.before, line.after) for line in second.lines if line.sign == "+"] == [(None, 26)]


def test_only_differing_words_are_marked():
    [file] = changes({"main.tf": '  cpu = "2" # cores'}, {"main.tf": '  cpu = "16" # cores'})
    old, new = file.hunks[0].lines
    assert (marked(old), marked(new)) == (["2"], ["16"])
    assert "".join(span.text for span in new.spans) == '  cpu = "16" # cores'


def test_dissimilar_lines_have_no_marks():
    [file] = changes({"main.tf": "resource one"}, {"main.tf": '}{ "zzz" : 42'})
    assert [marked(line) for line in file.hunks[0].lines] == [[], []]


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b"\xff\xfe", "not a text file"),
        (b"a\0b", "not a text file"),
        (b"x\n" * (MAX_TEXT_BYTES // 2 + 1), "more than 256 KiB"),
        (b"x\n" * (MAX_LINES + 1), f"more than {MAX_LINES} lines"),
        (b"x" * (MAX_LINE_CHARACTERS + 1), f"lines of more than {MAX_LINE_CHARACTERS} characters"),
        (b"one\r\n", "only line ends differ"),
    ],
)
def test_a_file_without_hunks_has_a_reason(content, note):
    [file] = changes({"main.tf": "one\n"}, {"main.tf": content})
    assert (file.change, file.hunks, file.note) == (Change.CHANGED, (), note)
    assert (file.size_before, file.size_after) == (4, len(content))


def test_a_broken_archive_is_rejected():
    with pytest.raises(Invalid):
        compare_files(tar_of({"main.tf": ""}), b"broken" * 200)


# ---------------------------------------------------------------------- versions
def plan(*, cpu="2", metadata="blue", apps=("code",)):
    resource = base.Resource(
        type="docker_container",
        name="dev",
        metadata=(
            base.ResourceMetadata(key="colour", value=metadata),
            base.ResourceMetadata(key="secret", value="", sensitive=True),
        ),
        agents=(
            base.Agent(
                name="main",
                operating_system="linux",
                architecture="amd64",
                apps=tuple(base.App(slug=slug, url="http://localhost:80") for slug in apps),
            ),
        ),
    )
    parameter = base.RichParameter(name="cpu", default_value=cpu)
    return base.ImportResult(
        start=base.PlanResult(resources=(resource, resource), rich_parameters=(parameter,)), stop=base.PlanResult()
    )


def variable(name, default, **fields):
    return base.ParameterSchema(name=name, default_source_value=default, **fields)


def versions_of(owner, organization, *results):
    template = make_template(user=owner, organization=organization)
    return [
        make_version(user=owner, organization=organization, template=template, result=result, schemas=schemas)
        for result, schemas in results
    ]


@pytest.mark.django_db
def test_parameters_and_resources_are_compared_by_field():
    organization = make_organization()
    owner = make_user(site_roles=("owner",), organizations=(organization,))
    before, after = versions_of(
        owner,
        organization,
        (plan(), (variable("region", "eu"), variable("gone", "x"))),
        (plan(cpu="4", metadata="red", apps=("code", "shell")), (variable("region", "us"),)),
    )
    found = compare(Actor.of(owner), before, after)
    assert [(item.name, item.change) for item in found.parameters] == [
        ("cpu", Change.CHANGED),
        ("variable gone", Change.REMOVED),
        ("variable region", Change.CHANGED),
    ]
    assert [(field.name, field.before, field.after) for field in found.parameters[0].fields] == [
        ("default_value", "2", "4")
    ]
    [resource] = found.resources
    assert (resource.name, resource.change) == ("docker_container.dev (start)", Change.CHANGED)
    assert [(field.name, field.before, field.after) for field in resource.fields] == [
        ("metadata colour", "blue", "red"),
        ("app main.shell", None, "http://localhost:80"),
    ]
    assert not compare(Actor.of(owner), before, before)


@pytest.mark.django_db
def test_instances_are_compared_one_by_one():
    organization = make_organization()
    owner = make_user(site_roles=("owner",), organizations=(organization,))

    def fleet(count):
        machines = tuple(base.Resource("dev", "vm", instance_key=str(i), daily_cost=i * count) for i in range(count))
        return base.ImportResult(base.PlanResult(machines), base.PlanResult())

    before, after = versions_of(owner, organization, (fleet(2), ()), (fleet(3), ()))
    found = compare(Actor.of(owner), before, after)
    assert [(item.name, item.change) for item in found.resources] == [
        ("vm.dev[1] (start)", Change.CHANGED),
        ("vm.dev[2] (start)", Change.ADDED),
    ]
    assert [(field.before, field.after) for field in found.resources[0].fields] == [(2, 3)]


@pytest.mark.django_db
def test_the_default_of_a_secret_is_not_shown():
    organization = make_organization()
    owner = make_user(site_roles=("owner",), organizations=(organization,))
    before, after = versions_of(
        owner,
        organization,
        (plan(), (variable("token", "s3cret", sensitive=True),)),
        (plan(), (variable("token", "hunter2", sensitive=True),)),
    )
    assert compare(Actor.of(owner), before, after).parameters == ()


@pytest.mark.django_db
def test_files_are_compared_only_for_users_who_may_read_them():
    organization = make_organization()
    author = make_user(organizations=(organization,))
    stranger = make_user(organizations=(organization,))
    before, after = versions_of(author, organization, (plan(), ()), (plan(), ()))
    for version, text in ((before, "one"), (after, "two")):
        file = make_file(author, tar_of({"main.tf": text}))
        ProvisionerJob.objects.filter(pk=version.job_id).update(file=file)
    seen = compare(Actor.of(author), before, after).files
    assert seen is not None
    assert [file.path for file in seen] == ["main.tf"]
    assert compare(Actor.of(stranger), before, after).files is None


@pytest.mark.django_db
@pytest.mark.parametrize("rows", [1, 3])
def test_the_number_of_queries_is_independent_of_the_rows(django_assert_num_queries, rows):
    organization = make_organization()
    owner = make_user(site_roles=("owner",), organizations=(organization,))
    resources = tuple(
        base.Resource(type="vm", name=f"r{number}", metadata=(base.ResourceMetadata(key="k", value="v"),))
        for number in range(rows)
    )
    result = base.ImportResult(start=base.PlanResult(resources=resources), stop=base.PlanResult())
    before, after = versions_of(owner, organization, (plan(), ()), (result, ()))
    actor = Actor.of(owner)
    with django_assert_num_queries(1 + 2 * 2 + 4 + 3):
        assert compare(actor, before, after)


# ---------------------------------------------------------------------- budgets
def lines_of_words(count, words, shift):
    rows = ([f"w{(number * 7 + word * shift) % 13}" for word in range(words)] for number in range(count))
    return "\n".join(" ".join(row)[:MAX_LINE_CHARACTERS] for row in rows)


@pytest.mark.promise("A4")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (lines_of_words(1, 1000, 3), lines_of_words(1, 1000, 5)),
        (lines_of_words(60, 900, 3), lines_of_words(60, 900, 5)),
        ("a\nb\n" * 2000, "b\na\nc\n" * 1300),
        (
            "\n".join(f"x{number % 60}" for number in range(4000)),
            "\n".join(f"x{number % 61}" for number in range(4000)),
        ),
    ],
)
def test_comparisons_stay_within_their_budget(before, after):
    found = compare_archives((tar_of({"a.tf": before, "z.tf": "one"}), tar_of({"a.tf": after, "z.tf": "two"})))
    assert [file.path for file in found.files] == ["a.tf", "z.tf"]
    first = found.files[0]
    assert first.hunks or first.note == TOO_DIFFERENT
    assert sum(len(line.spans) for hunk in first.hunks for line in hunk.lines) <= MAX_SPANS + 4 * MAX_LINE_CHARACTERS


def test_the_result_depends_on_the_archives_alone():
    archives = tar_of({"a.tf": "a\nb\n" * 2000}), tar_of({"a.tf": "b\na\nc\n" * 1300})
    assert compare_archives(archives) == compare_archives(archives)


def test_a_page_shows_a_bounded_number_of_lines():
    new = {f"f{number}.tf": "x\n" * 3000 for number in range(10)}
    found = compare_archives((tar_of({"a.tf": ""}), tar_of({"a.tf": "", **new})))
    shown = [file for file in found.files if file.hunks]
    assert sum(file.added for file in shown) <= MAX_LINES_SHOWN
    assert {file.note for file in found.files if not file.hunks} == {TOO_MANY_LINES}
    assert len(found.files) == 10


@pytest.mark.django_db
def test_a_comparison_is_known_by_the_hashes_of_the_archives(owner, organization, monkeypatch):
    template = make_template(user=owner, organization=organization)
    pair = []
    for text in ("cpu = 2", "cpu = 4"):
        version = make_version(user=owner, organization=organization, template=template)
        version.job.file = make_file(owner, tar_of({"main.tf": f"{text} # {owner.pk}"}))
        version.job.save(update_fields=["file"])
        pair.append(version)
    actor = Actor.of(owner)
    first = compare(actor, *pair)
    monkeypatch.setattr(versions.POOL, "run", None)  # it is not called again
    assert compare(actor, *pair) == first
    assert first.files[0].hunks


@pytest.mark.django_db
def test_files_over_the_limit_are_not_compared(owner, organization, monkeypatch):
    def too_long(*_, **__):
        raise OverLimit

    template = make_template(user=owner, organization=organization)
    pair = []
    for text in ("cpu = 2", "cpu = 4"):
        version = make_version(user=owner, organization=organization, template=template)
        version.job.file = make_file(owner, tar_of({"main.tf": f"{text} # over {owner.pk}"}))
        version.job.save(update_fields=["file"])
        pair.append(version)
    monkeypatch.setattr(versions.POOL, "run", too_long)
    found = compare(Actor.of(owner), *pair)
    assert (found.files, found.not_compared) == (None, "the files take too long to compare")
