"""Every error a user can meet, under one class. Messages are one clear sentence."""


class BfnError(Exception):
    """Base of all errors raised by bfncodec on purpose."""


class BadMagic(BfnError):
    """The data does not begin like a .bfn file."""


class TruncatedFile(BfnError):
    """The data ends before the file does."""


class CorruptFile(BfnError):
    """A checksum, a length or the coder's final state is wrong."""


class UnsupportedFeature(BfnError):
    """The file, or a request, needs something that this version cannot do."""


class MissingModel(BfnError):
    """The weights that the file names are not at hand."""


class LimitExceeded(BfnError):
    """The file claims more than the limits in force allow."""


class ChangedFile(BfnError):
    """A file changed while it was read."""


class NotWritten(BfnError):
    """An output cannot be written."""


def reason(error: BaseException) -> str:
    """What to tell of an error: of those that nobody raises on purpose, the kind as well."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, MemoryError):
        return "not enough memory"
    return str(error) if isinstance(error, BfnError) else f"{type(error).__name__}: {error}"
