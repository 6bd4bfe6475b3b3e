"""Errors of a user's data, reported in one line."""


class DataError(ValueError):
    """Error for invalid user data; its message is one line: path, what is wrong, what to do."""


class DecodingError(DataError):
    """Error for a video or picture that cannot be decoded.

    Args:
        path: the file.
        reason: what the decoder found, without the path.
    """

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(str(path), reason)
        self.path = str(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"
