"""A registered hook, to be taken out and put back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxscore.errors import JaxscoreError


class HookHandle:
    """What registering a hook gives.

    Each method may be called again without effect, only a removed hook cannot be enabled. A hook that is enabled again
    has its old place among the others.

    Args:
        handles: of all registered hooks, in their order; this one is appended.
        hook: a function of one argument.
    """

    def __init__(self, handles: list[HookHandle], hook: Callable[[Any], Any]) -> None:
        if not callable(hook):
            raise JaxscoreError(f"A hook is a function, got {hook!r}", "Give a function of one argument.")
        self.hook = hook
        self.enabled = True
        self._handles = handles
        handles.append(self)

    def remove(self) -> Callable[[Any], Any]:
        """Take the hook out for good; gives it back."""
        if self in self._handles:
            self._handles.remove(self)
        self.enabled = False
        return self.hook

    def disable(self) -> None:
        """Leave the hook out until it is enabled again."""
        self.enabled = False

    def enable(self) -> None:
        """Use the hook again.

        Raises:
            JaxscoreError: if it was removed.
        """
        if self not in self._handles:
            raise JaxscoreError("The hook was removed, it cannot be enabled", "Register it again.")
        self.enabled = True


def hooked(handles: list[HookHandle], value: Any) -> Any:
    """The value after all hooks that are enabled, in the order of their registration."""
    for handle in [handle for handle in handles if handle.enabled]:
        value = handle.hook(value)
    return value
