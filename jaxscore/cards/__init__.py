"""Benchmark cards: TOML files that pick a protocol. The code holds the protocols; a card names data and choices."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from jaxscore.errors import CardError, JaxscoreError, did_you_mean

if TYPE_CHECKING:
    from jaxscore.contexts.reading import Reading

Name = Annotated[str, Field(min_length=1)]


class Part(BaseModel):
    """A table of a card: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Part):
    """Where the responses are.

    Attributes:
        source: `s3://`, `https://` or a path, relative to the card's folder; `.csv`/`.tsv` tables or `.nc` assemblies.
        sha256: expected hash; without one the first download is trusted and remembered.
        sentence: table column, or assembly coordinate, with the text of each stimulus.
        stimulus_id: table column with the ids; row numbers if left out.
        group: table column that says which passage a sentence belongs to.
        responses: table columns by name or pattern; all numeric ones if left out.
        subject: table: the name of the subject that the columns are attributed to.
        select: assembly: coordinate of neuroid -> values that are kept ("" stands for a missing value).
        per: assembly: coordinate of presentation; each of its values is cross-validated by itself.
        passage: assembly: coordinates of presentation that together name a passage.
        story: assembly: coordinates of presentation that together name a story.
    """

    source: Name
    sha256: str | None = None
    sentence: Name = "sentence"
    stimulus_id: str | None = None
    group: str | None = None
    responses: list[str] | None = None
    subject: str = "subject"
    select: dict[str, list[str | int | float]] = {}
    per: str | None = None
    passage: list[str] = []
    story: list[str] = []


class Context(Part):
    """What a sentence is read in: `passage`, `story` or `sentence` (by itself), and how.

    Attributes:
        group: which stimuli share a context.
        protocol: "chained" (2021 pipeline), "parts" (today's platform) or "joined" (running text).
        window: longest input in tokens; without one 512, and for "parts" the model's longest.
        stride: tokens between windows where a context exceeds the window; without one, the protocol's own rule.
        bidirectional: what a bidirectional model sees: the "prefix" up to a stimulus, or the "full" context.
    """

    group: Literal["passage", "story", "sentence"] = "sentence"
    protocol: Literal["chained", "parts", "joined"] = "chained"
    window: PositiveInt | None = None
    stride: PositiveInt | None = None
    bidirectional: Literal["prefix", "full"] = "prefix"

    def reading(self, bos: str = "auto") -> Reading:
        """How stimuli are read; `bos`: the start token of each context."""
        from jaxscore.contexts.reading import Reading

        return Reading(self.protocol, self.window, self.stride, bos, self.bidirectional)


class Splits(Part):
    """Cross-validation: scheme, number of folds (one tests, one chooses the layer, the rest train), seed."""

    scheme: Literal["shuffled", "contiguous", "grouped"]
    folds: Annotated[int, Field(ge=3)] = 5
    seed: int = 1


class Regression(Part):
    """`ols` (minimum norm, cut-off `rcond`), `ridge` at `alpha`, or ridge at one of `alphas`.

    `ridge-loo` chooses it for each neuroid in training by leave-one-out, `ridge-gcv` by generalised cross-validation.
    """

    solver: Literal["ols", "ridge", "ridge-loo", "ridge-gcv"]
    rcond: Annotated[float, Field(gt=0, lt=1)] = 1e-6
    alpha: PositiveFloat | None = None
    alphas: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)

    @model_validator(mode="after")
    def _alpha_for_ridge(self) -> Regression:
        if self.solver == "ridge" and self.alpha is None:
            raise ValueError("ridge needs alpha, for example alpha = 1.0")
        return self


class Aggregation(Part):
    """Median over neuroids of a subject, then over subjects; `neuroids` keeps those with the given coordinates."""

    neuroids: dict[str, str] = {}


class Ceiling(Part):
    """The noise ceiling.

    Attributes:
        kind: "published": one `value` for the aggregate; "neuroid": each neuroid over its own, from `values` (by
            neuroid_id) or the assembly's coordinate `coordinate`; "none": scores are raw correlations.
        source: where the ceiling comes from, in a sentence; shown with every score.
    """

    kind: Literal["published", "neuroid", "none"]
    value: PositiveFloat | None = None
    values: dict[str, float] = {}
    coordinate: str | None = None
    source: Name

    @model_validator(mode="after")
    def _complete(self) -> Ceiling:
        if self.kind == "published" and self.value is None:
            raise ValueError("a published ceiling needs value")
        if self.kind == "neuroid" and bool(self.values) == bool(self.coordinate):
            raise ValueError("a ceiling per neuroid needs either values or coordinate")
        return self


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
    """

    identifier: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    title: Name
    follows: Name
    citation: str = ""
    simulated: str = ""
    pooling: Literal["last", "mean", "sum", "first", "cls"] = "last"
    reduction: Annotated[str, Field(pattern=r"^(random|subsample|pca):[1-9][0-9]*$")] | None = None
    data: Data
    context: Context = Context()
    splits: Splits
    regression: Regression
    aggregation: Aggregation = Aggregation()
    ceiling: Ceiling
    folder: Path = Field(default=Path(), exclude=True)

    def source(self) -> str:
        """The data's url, or its path with the card's folder before it."""
        source = self.data.source
        return source if "://" in source or Path(source).is_absolute() else str(self.folder / source)


def cards_folder() -> Path:
    """The folder of the cards: inside an installed package, or the checkout's `benchmarks/`."""
    packaged = Path(__file__).parent / "_cards"
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "benchmarks"


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
            f"Known: {', '.join(known)}. Your own data: write a card and give its path, `--benchmark my_study.toml`.",
        )
    return read_card(Path(name).expanduser())


def read_card(path: Path) -> Card:
    """Read and check one card; raises CardError, which names file, key and reason."""
    hint = f"Compare with `jaxscore show {next(iter(known_cards()))}` or the README's section on your own data."
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CardError(f"There is no card {path}", "Check the path, or type `jaxscore ls benchmarks`.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CardError(f"{path}: not readable as TOML: {error}", hint) from None
    try:
        return Card(**content, folder=path.parent)
    except ValidationError as error:
        raise CardError(f"{path}: " + "; ".join(_reason(e) for e in error.errors()), hint) from None
    except TypeError:
        raise CardError(f"{path}: folder: Unknown key", hint) from None


def _reason(error: dict) -> str:
    """`key: what is wrong`, with the keys there are for an unknown one."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        model: type[BaseModel] = Card
        for part in error["loc"][:-1]:
            model = model.model_fields[str(part)].annotation
        fields = [name for name in model.model_fields if name != "folder"]
        return f"{key}: unknown key. {did_you_mean(str(error['loc'][-1]), fields)} Known: {', '.join(fields)}"
    if error["type"] == "missing":
        return f"{key}: missing"
    return f"{key}: {error['msg']} (got {error['input']!r})"
