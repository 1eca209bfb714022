"""Errors with a message for the user: one line that names what is wrong and what would be right.

The command line prints them without a traceback; every other exception is a failure of the run
and leaves its full trace in the run folder.
"""

from __future__ import annotations


class UsageError(Exception):
    """The user asked for something that cannot be: a key, a file, a folder. Exit code 2."""


class ConfigError(UsageError):
    """A composed config that must not be built: unknown key, missing value, untrusted target."""


class RunError(Exception):
    """A run that cannot go on, for a reason known well enough to say in one line. Exit code 1."""


class Diverged(RunError):
    """A loss term became NaN or infinite.

    Args:
        term: Name of the first loss term that is not finite.
        step: Optimiser step (1-based) in which it happened.
        value: The value itself, ``nan`` or ``inf``.
    """

    def __init__(self, term: str, step: int, value: float) -> None:
        super().__init__(f"loss term '{term}' became {value} at step {step}")
        self.term, self.step, self.value = term, step, value


class Stopped(Exception):
    """A signal asked the run to stop; everything needed to resume is saved.

    Args:
        signum: The signal's number.
        folder: The run folder to resume from.
    """

    def __init__(self, signum: int, folder: str) -> None:
        super().__init__(signum, folder)
        self.signum, self.folder = signum, folder
