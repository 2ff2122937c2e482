"""Questions before actions that a click cannot undo."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """An action that needs confirmation: in a dialog of the page, or without script on a separate page at ``url``,
    which also receives the POST.

    ``action`` labels the button that opens the question, ``button`` the one that confirms; ``consequences`` say what
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
