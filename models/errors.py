"""The faults a model or a checkpoint can have. Knows nothing of commands or exit codes.

    ModelError
    ├── CheckpointError         a file or folder cannot be used: missing, empty, truncated, of the wrong type
    │   ├── UnsafeFileError     a pickle, which is never opened
    │   └── KeyMismatchError    missing, unexpected or misshapen tensors
    ├── UnsupportedConfigError  a configuration value that this code does not implement
    ├── UnknownNameError        a model, sampler or schedule that does not exist
    └── ShapeError              sizes or frame counts that a network cannot take

Every message says what was given, what is allowed and what to do instead.
"""

from __future__ import annotations

from collections.abc import Iterable


class ModelError(Exception):
    """Base of every fault raised on purpose below `models/`; its text is fit to be shown to a user."""


class CheckpointError(ModelError):
    """A weight file or model folder cannot be used as it is."""


class UnsafeFileError(CheckpointError):
    """A pickled file: opening it could run code, so it is refused unread."""


class KeyMismatchError(CheckpointError):
    """The tensors of a file are not those of the network.

    Args:
        where: the file or part, as the user knows it.
        missing: names the network needs and the file lacks.
        unexpected: names in the file that the network does not have.
        misshapen: `name: file shape, expected shape` lines.
    """

    LISTED = 10

    def __init__(
        self,
        where: str,
        missing: Iterable[str] = (),
        unexpected: Iterable[str] = (),
        misshapen: Iterable[str] = (),
    ) -> None:
        self.missing, self.unexpected, self.misshapen = sorted(missing), sorted(unexpected), sorted(misshapen)
        groups = [
            f"{len(names)} {label}: {', '.join(names[: self.LISTED])}{', …' if len(names) > self.LISTED else ''}"
            for label, names in (
                ("missing", self.missing),
                ("unexpected", self.unexpected),
                ("misshapen", self.misshapen),
            )
            if names
        ]
        super().__init__(f"the tensors in {where} do not fit the network ({'; '.join(groups)})")


class UnsupportedConfigError(ModelError):
    """A configuration asks for something that this code does not implement."""


class UnknownNameError(ModelError):
    """A name that is in no list: a model, a sampler, a schedule."""


class ShapeError(ModelError):
    """A size or a frame count that a network cannot take."""
