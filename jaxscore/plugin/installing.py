"""Plugin folders in an installed brain-score: it finds models and metrics by the text of their `__init__.py`."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from jaxscore import __version__
from jaxscore.errors import JaxscoreError, did_you_mean
from jaxscore.plugin.remote import placed
from jaxscore.registry import MINI, MODELS

FOLDER, PREFIX, NOTE = "jaxscore", "jaxscore-", "installed.json"
"""Name of our plugin folders; prefix of our models; the file that says that a folder is ours."""
KINDS = ("models", "metrics")
METRICS = ("linear_pearsonr", "ridge_pearsonr", "rdm", "cka")
COMMAND = "python -m jaxscore.plugin install --python PYTHON"


def platform_folder() -> Path:
    """Where brain-score language is installed, without importing it.

    Raises:
        JaxscoreError: if it is not.
    """
    spec = find_spec("brainscore_language")
    if spec is None or not spec.submodule_search_locations:
        raise JaxscoreError(
            "There is no brain-score language in this environment", "Run this with the Python that imports it."
        )
    return Path(next(iter(spec.submodule_search_locations)))


def installed_python() -> str:
    """The interpreter that `install` wrote down.

    Raises:
        JaxscoreError: if nothing is installed.
    """
    note = platform_folder() / "models" / FOLDER / NOTE
    try:
        return json.loads(note.read_text(encoding="utf-8"))["python"]
    except (OSError, ValueError, KeyError, TypeError):
        raise JaxscoreError(
            "Which Python has jaxscore is not known: the plugin is not installed", f"{COMMAND}, or set JAXSCORE_PYTHON."
        ) from None


def registrations(own: Mapping[str, str]) -> dict[str, str]:
    """The lines of both plugin folders, one of each model and metric.

    Args:
        own: name -> checkpoint folder or hub id, of models beside those of the registry.

    Raises:
        JaxscoreError: for a name that is taken, or that has other characters than letters, digits, `.`, `_` and `-`.
    """
    for name in own:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise JaxscoreError(f"{name!r} is no name for a model", "Use letters, digits, '.', '_' and '-'.")
        if name in (MINI, *MODELS):
            raise JaxscoreError(f"jaxscore has a model called {name!r}", f"Choose another name: --model my-{name}=PATH")
    models = {name: name for name in (MINI, *MODELS)} | dict(own)
    head = '"""Written by `python -m jaxscore.plugin install`, which replaces it; `uninstall` removes it."""\n\n'
    return {
        "models": f"{head}from brainscore_language import model_registry\nfrom jaxscore.plugin import subject\n\n"
        + "".join(f"model_registry['{PREFIX}{name}'] = lambda: subject({spec!r})\n" for name, spec in models.items()),
        "metrics": f"{head}from brainscore_language import metric_registry\nfrom jaxscore.plugin import metrics\n\n"
        + "".join(f"metric_registry['jaxscore_{name}'] = metrics.{name}\n" for name in METRICS),
    }


def install(package: Path, python: str, own: Mapping[str, str]) -> list[Path]:
    """Write both plugin folders, or neither; those of an earlier installation are replaced.

    Args:
        package: folder of brainscore_language.
        python: interpreter of an environment with all of jaxscore.
        own: see `registrations`.

    Returns:
        The folders.

    Raises:
        JaxscoreError: if a folder is there that is not ours, or it cannot be written.
    """
    texts = registrations(own)
    folders = {kind: package / kind / FOLDER for kind in KINDS}
    for folder in folders.values():
        if folder.exists():
            _contents(folder)
    new: dict[str, Path] = {}
    try:
        for kind in KINDS:
            # a name with a dot is not searched for plugins
            new[kind] = Path(tempfile.mkdtemp(prefix=".jaxscore-", dir=package / kind))
            new[kind].chmod(0o755)
            (new[kind] / "__init__.py").write_text(texts[kind], encoding="utf-8")
            note = {"version": __version__, "python": python, "files": ["__init__.py", NOTE]}
            (new[kind] / NOTE).write_text(json.dumps(note, indent=2), encoding="utf-8")
        _swap([(new[kind], folders[kind]) for kind in KINDS])
    except OSError as error:
        raise JaxscoreError(
            f"The plugin could not be written to {package}: {error.strerror}; nothing was changed",
            "Run it as the user who installed brain-score.",
        ) from None
    finally:
        for folder in new.values():
            shutil.rmtree(folder, ignore_errors=True)
    return list(folders.values())


def uninstall(package: Path) -> list[Path]:
    """Remove what `install` wrote, and nothing else.

    Raises:
        JaxscoreError: if a folder holds something else, or cannot be removed.
    """
    folders = [folder for kind in KINDS if (folder := package / kind / FOLDER).exists()]
    contents = {folder: _contents(folder) for folder in folders}
    try:
        for folder, files in contents.items():
            for file in files:
                file.unlink()
            shutil.rmtree(folder / "__pycache__", ignore_errors=True)
            folder.rmdir()
    except OSError as error:
        raise JaxscoreError(f"{folder} could not be removed: {error.strerror}", "Remove it by hand.") from None
    return folders


def _swap(pairs: list[tuple[Path, Path]]) -> None:
    """Put each new folder in the place of the old one; after an error all are what they were."""
    done: list[tuple[Path, Path, Path | None]] = []
    try:
        for new, place in pairs:
            kept = None
            if place.exists():
                kept = Path(tempfile.mkdtemp(prefix=".jaxscore-", dir=place.parent))
                os.replace(place, kept)  # onto an empty folder
            done.append((new, place, kept))
            os.replace(new, place)
    except OSError:
        for new, place, kept in reversed(done):
            if place.exists():
                os.replace(place, new)
            if kept is not None:
                os.replace(kept, place)
        raise
    for _, _, kept in done:
        if kept is not None:
            shutil.rmtree(kept, ignore_errors=True)


def _contents(folder: Path) -> list[Path]:
    """The files of a folder of ours; JaxscoreError for a folder that is not, or that holds something else."""
    try:
        files = json.loads((folder / NOTE).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        raise JaxscoreError(f"{folder} was not written by jaxscore", "Move it away first.") from None
    if others := sorted({path.name for path in folder.iterdir()} - {*files, "__pycache__"}):
        raise JaxscoreError(f"{folder} holds what jaxscore did not write: {', '.join(others)}", "Move it away first.")
    return [folder / name for name in files if (folder / name).exists()]


def parse_models(given: list[str]) -> dict[str, str]:
    """NAME=PATH of the command line: name -> what a model is called, with an absolute path.

    Raises:
        JaxscoreError: for what has no name or no path, a name that is given twice, or a folder that is no checkpoint.
    """
    own: dict[str, str] = {}
    for each in given:
        name, _, spec = each.partition("=")
        if not name or not spec:
            raise JaxscoreError(f"--model {each!r} is not NAME=PATH", "--model mine=checkpoints/mine")
        if name in own:
            raise JaxscoreError(f"--model {name} is given twice", did_you_mean(name, own))
        own[name] = placed(spec)
        if own[name] == spec and (spec[0] in "./~" or Path(spec).is_dir()) and not Path(spec, "config.json").is_file():
            raise JaxscoreError(
                f"--model {each}: there is no checkpoint in {spec}", "Name a folder with a config.json."
            )
    return own
