"""Benchmark cards: TOML files that pick a protocol. The code holds the protocols; a card names data and choices."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from jaxscore.cards.parts import (
    Aggregation,
    Behaviour,
    Ceiling,
    Context,
    Data,
    Listening,
    Name,
    Part,
    Regression,
    Splits,
)
from jaxscore.errors import CardError, JaxscoreError, did_you_mean


class Card(Part):
    """A benchmark: data, context, pooling, splits, regression, aggregation, ceiling, and where it all comes from.

    Attributes:
        identifier: what people type.
        title: one line for `jaxscore ls`.
        follows: whose protocol this is.
        citation: what to cite.
        simulated: empty for real data; otherwise a sentence that says what is simulated, shown with every score.
        pooling: tokens of a stimulus that its state is taken from; see `jaxscore.extract.passes.extract`.
        reduction: how layers are made narrower: "random:512", "subsample:512" or "pca:100"; by default they are not.
        metric: "encoding": features predict responses; "decoding": responses predict features; "rdm", "cka":
            similarity of the two on test stimuli; "surprisal": a model's surprisal with reading times.
        units: coordinates of neuroid: those that agree in them are decoded from, or compared ("rdm", "cka"), together;
            none: all neuroids.
        correlation: "pearson", or "pearson-eps", whose norms are 1e-8 longer (today's platform).
    """

    identifier: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    title: Name
    follows: Name
    citation: str = ""
    simulated: str = ""
    pooling: Literal["last", "mean", "sum", "first", "cls"] = "last"
    reduction: Annotated[str, Field(pattern=r"^(random|subsample|pca):[1-9][0-9]*$")] | None = None
    metric: Literal["encoding", "decoding", "rdm", "cka", "surprisal"] = "encoding"
    units: tuple[str, ...] = ("subject",)
    correlation: Literal["pearson", "pearson-eps"] = "pearson"
    data: Data
    context: Context = Context()
    listening: Listening | None = None
    behaviour: Behaviour = Behaviour()
    splits: Splits = Splits(scheme="contiguous")
    regression: Regression = Regression(solver="ols")
    aggregation: Aggregation = Aggregation()
    ceiling: Ceiling
    folder: Path = Field(default=Path(), exclude=True)

    @model_validator(mode="after")
    def _regressed(self) -> Card:
        needed = {"encoding": ("splits", "regression"), "decoding": ("splits", "regression")}
        needed |= {"rdm": ("splits",), "cka": ("splits",)}
        if lacking := [name for name in needed.get(self.metric, ()) if name not in self.model_fields_set]:
            raise ValueError("; ".join(f"{name}: missing, {self.metric} needs this table" for name in lacking))
        if self.listening and self.splits.scheme != "blocks":
            raise ValueError('splits: a recording is tested on scheme = "blocks", with trim rows between')
        return self

    def source(self) -> str:
        """The data's url, or its path with the card's folder before it."""
        return self.place(self.data.source)

    def place(self, source: str) -> str:
        """A url or absolute path as it is, another path with the card's folder before it."""
        return source if "://" in source or Path(source).is_absolute() else str(self.folder / source)


def cards_folder() -> Path:
    """The folder of the cards: inside an installed package, or the checkout's `benchmarks/`."""
    packaged = Path(__file__).parents[1] / "_cards"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "benchmarks"


def known_cards() -> dict[str, Path]:
    """Identifier -> path of every card that comes with the package."""
    return {path.stem: path for path in sorted(cards_folder().glob("*.toml"))}


def load_benchmark(name: str | Path) -> Card:
    """Read a card by identifier, or from a path that ends in .toml.

    Raises:
        JaxscoreError: for an unknown identifier, with near ones.
        CardError: for a file that is missing or malformed; names file, key and reason.
    """
    known = known_cards()
    if str(name) in known:
        return read_card(known[str(name)])
    if not str(name).endswith(".toml"):
        raise JaxscoreError(
            f"Unknown benchmark {str(name)!r}. {did_you_mean(str(name), known)}".strip(),
            f"`jaxscore ls benchmarks` lists all {len(known)}. Your own data: the path of a card, `-b my_study.toml`.",
        )
    return read_card(Path(name).expanduser())


def read_card(path: Path) -> Card:
    """Read and check one card; raises CardError, which names file, key and reason."""
    content = _content(path, ())
    try:
        return Card(**content, folder=path.parent)
    except ValidationError as error:
        raise CardError(f"{path}: " + "; ".join(_reason(e) for e in error.errors()), _hint()) from None
    except TypeError:
        raise CardError(f"{path}: folder: Unknown key", _hint()) from None


def _hint() -> str:
    return "Compare with `jaxscore show Pereira2018-encoding` or the README's section on your own data."


def _content(path: Path, heirs: tuple[Path, ...]) -> dict[str, Any]:
    """What a card says, on top of what the card that it extends says; tables are joined key by key."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CardError(f"There is no card {path}", "Check the path, or type `jaxscore ls benchmarks`.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CardError(f"{path}: not readable as TOML: {error}", _hint()) from None
    base = content.pop("extends", None)
    if base is None:
        return content
    near, known = path.parent / f"{base}.toml", known_cards()
    found = near if near.is_file() else known.get(str(base))
    if found is None or found in (*heirs, path):
        reason = (
            f"there is no card {base!r}. {did_you_mean(str(base), known)}" if found is None else "cards in a circle"
        )
        raise CardError(
            f"{path}: extends: {reason}".strip(), "Name a card by its identifier (`jaxscore ls benchmarks`)."
        )
    below = _content(found, (*heirs, path))
    if (data := below.get("data")) and "source" not in content.get("data", {}) and found.parent != path.parent:
        data["source"] = Card.model_construct(folder=found.parent).place(data["source"])
    return below | {
        key: below[key] | value if isinstance(value, dict) and isinstance(below.get(key), dict) else value
        for key, value in content.items()
    }


def _reason(error: dict) -> str:
    """`key: what is wrong`, with the keys there are for an unknown one."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        model: type[BaseModel] = Card
        for part in error["loc"][:-1]:
            kind = model.model_fields[str(part)].annotation
            model = next(one for one in (kind, *get_args(kind)) if hasattr(one, "model_fields"))
        fields = [name for name in model.model_fields if name != "folder"]
        return f"{key}: unknown key. {did_you_mean(str(error['loc'][-1]), fields)} Known: {', '.join(fields)}"
    if error["type"] == "missing":
        return f"{key}: missing"
    if not key:  # of the card as a whole, which would be long to show
        return error["msg"]
    return f"{key}: {error['msg']} (got {error['input']!r})"
