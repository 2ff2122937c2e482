"""Small archives for the scripted engine."""

from tests.vocabulary import echo, tar_of

# The password of every user from ``make_user``.
PASSWORD = "correct horse battery"
PLAN = {
    "start": {
        "resources": [{"name": "box", "type": "terraform_data"}],
        "rich_parameters": [
            {"name": "size", "type": "number", "mutable": True, "default_value": "2"}
            | {"validation_min": 1, "validation_max": 8}
        ],
    },
    "stop": {"resources": [{"name": "box", "type": "terraform_data"}]},
}
ARCHIVE = tar_of(echo(PLAN, {"variables": [{"name": "zone", "default_source_value": "a"}]}))
ASKING = tar_of(echo(PLAN, {"variables": [{"name": "zone"}, {"name": "known", "default_source_value": "x"}]}))
