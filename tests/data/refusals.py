"""Why a file is refused, for the tests that damage files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jaxscore.data.assemblies import check_assembly, drop_unusable, read_assembly, with_multiindex, write_assembly
from jaxscore.errors import DataError


def refusal(path: Path, act: Callable[[], object]) -> str:
    """Why a file is refused, naming it and with a hint; empty where it is not."""
    try:
        act()
    except DataError as caught:
        error = caught
    else:
        return ""
    assert path.stem in error.message
    assert error.hint
    return error.message


def outcome(path: Path) -> str:
    """Why a file is refused by whoever first does so; empty where everything can be done with it."""

    def everything() -> None:
        assembly = read_assembly(path)
        check_assembly(assembly, str(path))
        drop_unusable(assembly, str(path))
        write_assembly(with_multiindex(assembly), path.with_suffix(".again.nc"))

    return refusal(path, everything)
