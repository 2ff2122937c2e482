"""What is asked before something happens that cannot be taken back with a click."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """An action that asks first: in a dialog of the page, or without script on a page of its own at ``url``, which
    also takes the answer as a POST.

    ``action`` stands on the button that leads here, ``button`` on the one that does it; ``consequences`` say what
    will happen.
    """

    key: str
    url: str
    action: str
    title: str
    consequences: tuple[str, ...]
    button: str
    back_url: str
    back_label: str
    danger: bool = False
