"""The one error of data files."""


class DataFileError(ValueError, OSError):
    """A data file that cannot be used: broken, of another format, or holding impossible numbers.

    The message names the file, where it applies the jet (its row) and the field, and says what to do. Files that
    are sound but cannot be read (missing, locked, forbidden) raise an ordinary :class:`OSError`.
    """
