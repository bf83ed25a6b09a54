"""The exception for errors that the user can correct."""


class UserError(Exception):
    """Error that the user can correct: invalid input, invalid parameter, missing file, port in use.

    Args:
        what: the error, in a few words.
        where: file, annotation or id with the error.
        expected: a valid value or state.
        got: the actual value or state.
        do: how to correct it.

    The text is one line: ``where: what: expected ..., got ...; do``.
    """

    def __init__(
        self, what: str, *, where: object = None, expected: object = None, got: object = None, do: str | None = None
    ):
        text = what if where is None else f"{where}: {what}"
        values = [f"{word} {value}" for word, value in (("expected", expected), ("got", got)) if value is not None]
        if values:
            text += ": " + ", ".join(values)
        if do:
            text += f"; {do}"
        super().__init__(" ".join(text.split()))
