"""Output for whoever reads it, or a program that does."""

from rich.console import Console


def console() -> Console:
    """Output that is not a terminal gets the whole width of a table instead of 80 columns."""
    made = Console()
    return made if made.is_terminal else Console(width=200)
