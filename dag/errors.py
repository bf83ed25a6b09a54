"""The one exception whose text is written for the person at the keyboard."""


class UserError(Exception):
    """Something the user can repair: bad input, bad parameter, missing file, port taken.

    Args:
        what: what is wrong, in a few words.
        where: file, row or id it was found in.
        expected: what would have been right.
        got: what was found.
        do: what to do about it.

    The text is one line: ``where: what: expected ..., got ...; do``.
    """

    def __init__(
        self, what: str, *, where: object = None, expected: object = None, got: object = None, do: str | None = None
    ):
        text = what if where is None else f"{where}: {what}"
        found = [f"{word} {value}" for word, value in (("expected", expected), ("got", got)) if value is not None]
        if found:
            text += ": " + ", ".join(found)
        if do:
            text += f"; {do}"
        super().__init__(" ".join(text.split()))
