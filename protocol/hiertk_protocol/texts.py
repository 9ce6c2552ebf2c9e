"""Texts from the network, made fit for a line of a log."""


def one_line(text: str, letters: int) -> str:
    """Return so many letters of a text, without what a terminal would obey."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text[:letters])
    return " ".join(printable.split()) or "without a reason"
