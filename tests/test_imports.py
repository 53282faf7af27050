"""What is cheap must stay cheap: importing, --help, ls and show load no JAX, and importing touches no file."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"jax", "flax", "torch", "transformers", "boto3", "matplotlib", "xarray", "pandas", "sklearn", "scipy"}
LOADED = f"""
import sys
print("loaded:", *sorted({sorted(HEAVY)!r} & sys.modules.keys()))
"""


def _python(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _loaded(code: str, *arguments: str) -> set[str]:
    line = _python(code, *arguments).splitlines()[-1]
    assert line.startswith("loaded:")
    return set(line.split()[1:])


COMMAND = f"""
import atexit
atexit.register(lambda: exec({LOADED!r}))
from jaxscore.cli.app import main
main()
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["batch", "--help"],
        ["status", "--help"],
        ["table", "--help"],
        ["ls"],
        ["ls", "models"],
        ["ls", "benchmarks"],
        ["show", "Simulated2026-encoding"],
        ["show", "Pereira2018-encoding"],
        ["show", "gpt2"],
    ],
)
def test_commands_without_jax(arguments):
    assert not _loaded(COMMAND, *arguments)


def test_the_check_sees_what_is_loaded():
    assert _loaded("import xarray\n" + LOADED) >= {"xarray", "pandas"}


def test_cards_and_options_without_jax():
    assert not _loaded(
        f"from jaxscore import load_benchmark, load_model; load_benchmark('Simulated2026-encoding'){LOADED}"
    )


def test_import_opens_nothing_but_code():
    """An audit hook sees every file that is opened, made or listed; only modules may be."""
    code = """
import sys
touched = []
def hook(event, args):
    if event in ("open", "os.mkdir", "os.rename", "os.remove", "socket.connect", "socket.getaddrinfo"):
        path, mode = str(args[0]), args[1] if len(args) > 1 else None
        reading = event == "open" and mode in ("r", "rb", None)
        if not (reading and path.endswith((".py", ".pyc"))):
            touched.append((event, path, mode))
sys.addaudithook(hook)
import jaxscore
dir(jaxscore), jaxscore.__version__
print(touched)
print("jax" in sys.modules)
"""
    # without bytecode, so that a first import writes none
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\nFalse\n", done.stdout + done.stderr


def test_public_names():
    import jaxscore

    assert set(jaxscore.__all__) <= set(dir(jaxscore))
    for name in jaxscore.__all__:
        assert getattr(jaxscore, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'scores'"):
        _ = jaxscore.scores
