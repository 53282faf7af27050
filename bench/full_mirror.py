"""The mirror of both public buckets at full size (`tests/mirror.py`), for scripts that score its cards from `s3://`.

`python bench/full_mirror.py FOLDER` only writes it.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common import ROOT

sys.path.insert(0, str(ROOT / "tests"))
from mirror import LOCAL, PARTICIPANTS, REGIONS, Mirror, build, serve

__all__ = ["LOCAL", "PARTICIPANTS", "REGIONS", "Mirror", "mirror"]


@contextmanager
def mirror(scale: str = "full") -> Iterator[Mirror]:
    """Build and serve it in a temporary folder, with a cache of its own there."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # the server names every request
    with tempfile.TemporaryDirectory() as name:
        os.environ["JAXSCORE_CACHE"] = str(Path(name) / "cache")
        with serve(build(Path(name) / scale, scale)) as served:
            yield served


if __name__ == "__main__":
    build(Path(sys.argv[1]), "full")
