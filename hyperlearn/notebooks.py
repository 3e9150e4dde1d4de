"""What a notebook shows beside its stored outputs."""

import sys
from typing import Any


def kernel_runs() -> bool:
    """Whether this is a notebook's kernel, and not a script or a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")


def show(widget: Any) -> None:
    """Show a widget's view alone, without a line of text beside it: what is stored of a notebook shows nothing then."""
    from IPython.display import display

    display({kind: view for kind, view in widget._repr_mimebundle_().items() if kind != "text/plain"}, raw=True)
