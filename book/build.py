"""Build the site, on all processors: ``jupyter-book build`` has no option for that.

    python book/build.py --quiet -W -n .

The arguments are those of ``jupyter-book build``.
"""

import os
from functools import partial

import jupyter_book.sphinx
from jupyter_book.cli.main import build


def main() -> None:
    jupyter_book.sphinx.build_sphinx = partial(jupyter_book.sphinx.build_sphinx, jobs=os.cpu_count())
    build()


if __name__ == "__main__":
    main()
