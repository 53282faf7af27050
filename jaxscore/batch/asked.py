"""The keys of a plan and their types; what does not fit is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeInt, ValidationError, create_model

from jaxscore.errors import JaxscoreError, did_you_mean
from jaxscore.models.language_model import DTYPES
from jaxscore.options import Options

EXAMPLE = 'A plan has models = ["gpt2", "pythia-70m@step{1000,2000}"] and benchmarks = ["Pereira2018-encoding"].'


class _Table(BaseModel):
    """Unknown keys are refused, and values of another type: no "3" for 3."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ModelEntry(_Table):
    """One pattern of models.

    Attributes:
        name: see `jaxscore.batch.patterns.find_models`.
        untrained: draw the weights anew; by default what the options say.
        seeds: of these draws; a task for each.
    """

    name: str
    untrained: bool | None = None
    seeds: Annotated[list[NonNegativeInt], Field(min_length=1)] | None = None


def _entry(asked: Any) -> Any:
    """A bare name as a table."""
    return {"name": asked} if isinstance(asked, str) else asked


Choices = create_model(
    "Choices",
    __base__=_Table,
    seed=(NonNegativeInt, 0),
    untrained=(bool, False),
    dtype=(Literal[DTYPES], "float32"),
    **{name: (kind, Options.__dataclass_fields__[name].default) for name, kind in get_type_hints(Options).items()},
)
"""The options of `jaxscore run` that change a score."""


class Asked(_Table):
    """A plan as it is written.

    Attributes:
        out: folder or s3:// url of the results.
        models: names, or tables of a name and more.
        benchmarks: identifiers and paths of cards.
        options: for all of them.
    """

    out: Annotated[str, Field(min_length=1)] = "jaxscore-results"  # as of `jaxscore run`
    models: Annotated[list[Annotated[ModelEntry, BeforeValidator(_entry)]], Field(min_length=1)]
    benchmarks: Annotated[list[str], Field(min_length=1)]
    options: Choices = Choices()


TABLES: dict[str, type[BaseModel]] = {"the top": Asked, "[options]": Choices, "an entry of models": ModelEntry}


def check(content: Mapping[str, Any], file: str | None) -> Asked:
    """What was asked, once every key and type is known to be right.

    Args:
        content: of a plan, or of a command line in its form.
        file: the plan, for messages.

    Raises:
        JaxscoreError: names the file and all keys that are wrong, and why.
    """
    try:
        return Asked(**content)
    except ValidationError as error:
        reasons = "; ".join(_reason(each) for each in error.errors())
    raise JaxscoreError(f"{file}: {reasons}" if file else reasons, EXAMPLE if file else "See `jaxscore batch --help`.")


def _reason(error: Mapping[str, Any]) -> str:
    """`key: what is wrong`, with the keys there are for an unknown one."""
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key. {_instead(str(error['loc'][-1]), len(error['loc']))}"
    if error["type"] == "missing":
        return f"{key}: missing"
    if error["type"] == "model_type":
        expected = "expected a table" if key == "options" else 'expected a name or { name = "...", untrained = true }'
        return f"{key}: {expected} (got {error['input']!r})"
    guess = did_you_mean(error["input"], DTYPES) if error["type"] == "literal_error" else ""
    return f"{key}: {error['msg']} (got {error['input']!r}). {guess}".strip()


def _instead(key: str, depth: int) -> str:
    """What to write in place of an unknown key `depth` keys deep."""
    table = list(TABLES.values())[depth - 1]
    homes = [place for place, other in TABLES.items() if key in other.model_fields and other is not table]
    if homes:
        return f"It belongs to {' or '.join(homes)}."
    return f"{did_you_mean(key, table.model_fields)} Known: {', '.join(table.model_fields)}".strip()
