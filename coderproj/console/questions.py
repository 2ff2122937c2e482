"""Questions before actions that a click cannot undo."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

# In characters: what is shown again of a wrong confirmation.
MAX_TYPED = 200


@dataclass(frozen=True, slots=True)
class Choice:
    """A check box of a question. The POST has ``name`` if the user checked it; ``note`` says what it changes."""

    name: str
    label: str
    note: str
    checked: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """An action that needs confirmation: in a dialog of the page, or without script on a separate page at ``url``,
    which also receives the POST.

    ``action`` labels the button that opens the question, ``button`` the one that confirms; ``consequences`` say what
    will happen. With ``confirmation`` the user must type that text, which the POST has under this name; ``mismatch`` is
    the error after another text, which is ``typed``. ``choice`` offers another way to do it.
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
    confirmation: str = ""
    mismatch: str = ""
    typed: str = ""
    choice: Choice | None = None

    def is_confirmed(self, given: str) -> bool:
        """Return True if the user typed the text, or need not."""
        return given.strip() == self.confirmation or not self.confirmation

    def again(self, given: Mapping[str, str], mismatch: str) -> "Question":
        """Return the question with what the user submitted, and the error of the confirmation."""
        choice = self.choice and replace(self.choice, checked=self.choice.name in given)
        return replace(self, typed=given.get("confirmation", "")[:MAX_TYPED], mismatch=mismatch, choice=choice)
