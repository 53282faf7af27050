"""The tables of a card: what each key means and which values it may have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

if TYPE_CHECKING:
    from jaxscore.contexts.reading import Reading

Name = Annotated[str, Field(min_length=1)]
Scheme = Literal[
    "shuffled", "contiguous", "grouped", "stratified", "shuffle-split", "leave-one-group-out", "blocks",
    "nn-pereira", "nn-blank", "nn-fedorenko", "nn-futrell", "nn-rdm",
    "bl-linear-shuffle", "bl-tuckute", "bl-pereira-ridge", "bl-blank-ridge", "bl-fedorenko-ridge", "bl-rdm",
]  # fmt: skip
"""Schemes of `jaxscore.regression.splits`, and blocks; spelled out here so that reading a card imports nothing."""


class Part(BaseModel):
    """A table of a card: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Part):
    """Where the responses are, and what their columns and coordinates mean.

    Attributes:
        source: `s3://`, `https://`, `hf://` or a path, relative to the card's folder: a table (.csv, .tsv), an array
            (.npy, .npz, .h5, .nii) beside `stimuli`, or an assembly (.nc).
        sha256: expected hash; without one the first download is trusted and remembered.
        sha1: expected hash, as today's platform names it.
        sentence: table column, or assembly coordinate, with the text of each stimulus.
        stimulus_id: table column with the ids; row numbers if left out.
        group: table column that says which passage a sentence belongs to.
        responses: table columns by name or pattern; all numeric ones if left out.
        subject: the coordinate or column that names subjects; if there is none, the name of the one subject.
        neuroid_id: assembly: coordinates that together name a neuroid; its own `neuroid_id` if left out.
        select: assembly: coordinate -> values that are kept ("" stands for a missing value).
        scored: coordinate of presentation -> values whose responses are scored; all are read.
        unscored: coordinate of presentation -> values whose responses are not scored.
        labels: new coordinate of presentation -> "coordinate:k", the k-th part of its values between dots, from 0.
        per: coordinate of presentation; each of its values is cross-validated by itself.
        passage: coordinates of presentation that together name a passage.
        story: coordinates of presentation that together name a story.
        missing: "drop" the neuroids that lack a response, or "keep" them, each on the rows that it has.
        run: column or coordinate with the run of each row.
        repetition: column or coordinate with the repetition; responses to one stimulus are averaged.
        time_bin: column or coordinate with the time bin of a response (ECoG, EEG, MEG).
        preprocess: of "detrend" and "zscore", in each run by itself.
        stimuli: arrays: table with a row for each row.
        neuroids: arrays: table with a row for each column.
        mask: NIfTI: the mask.
        variable: name of the array within an .npz or .h5.
        value: long tables: the column with the response.
        neuroid: long tables: the columns that together name a neuroid.
    """

    source: Name
    sha256: str | None = None
    sha1: str | None = None
    sentence: Name = "sentence"
    stimulus_id: str | None = None
    group: str | None = None
    responses: list[str] | None = None
    subject: str = "subject"
    neuroid_id: list[str] = []
    select: dict[str, list[str | int | float]] = {}
    scored: dict[str, list[str | int | float]] = {}
    unscored: dict[str, list[str | int | float]] = {}
    labels: dict[str, Annotated[str, Field(pattern=r"^.+:\d+$")]] = {}
    per: str | None = None
    passage: list[str] = []
    story: list[str] = []
    missing: Literal["drop", "keep"] = "drop"
    run: str | None = None
    repetition: str | None = None
    time_bin: str | None = None
    preprocess: list[Literal["detrend", "zscore"]] = []
    stimuli: str | None = None
    neuroids: str | None = None
    mask: str | None = None
    variable: str | None = None
    value: str | None = None
    neuroid: list[str] = []


class Context(Part):
    """What a stimulus is read in: `passage`, `story`, `sentence` (by itself) or `text` (all in one), and how.

    Attributes:
        group: which stimuli share a context.
        protocol: "chained" (2021 pipeline), "parts" (today's platform) or "joined" (running text).
        window: longest input in tokens; without one 512, and for "parts" the model's longest.
        stride: tokens between windows where a context exceeds the window; without one, the protocol's own rule.
        bidirectional: what a bidirectional model sees: the "prefix" up to a stimulus, or the "full" context.
    """

    group: Literal["passage", "story", "sentence", "text"] = "sentence"
    protocol: Literal["chained", "parts", "joined"] = "chained"
    window: PositiveInt | None = None
    stride: PositiveInt | None = None
    bidirectional: Literal["prefix", "full"] = "prefix"

    def reading(self, bos: str = "auto") -> Reading:
        """How stimuli are read; `bos`: the start token of each context."""
        from jaxscore.contexts.reading import Reading

        return Reading(self.protocol, self.window, self.stride, bos, self.bidirectional)


class Listening(Part):
    """Words heard while volumes are recorded: how their features come to the scanner's clock.

    Attributes:
        reader: which recording the data are: see `jaxscore.listening.recording`.
        options: of the reader.
        downsample: features of a volume from those of the words around it: "lanczos", "mean", "sum"; or "impulse",
            "boxcar", words convolved with the canonical haemodynamic response.
        window: lobes of "lanczos".
        delays: volumes; each has weights of its own (a finite impulse response). None at all after a convolution.
        nuisance: whether the recording's nuisance regressors and slow drifts are removed from the responses, in each
            block by itself.
        cutoff: longest period in seconds that is kept.
    """

    reader: Name
    options: dict[str, str | list[str]] = {}
    downsample: Literal["lanczos", "mean", "sum", "impulse", "boxcar"] = "lanczos"
    window: PositiveInt = 3
    delays: list[NonNegativeInt] = [1, 2, 3, 4]
    nuisance: bool = True
    cutoff: PositiveFloat = 128.0


class Splits(Part):
    """Cross-validation; of the folds one tests, one chooses the layer, the rest train.

    Attributes:
        scheme: a name of `jaxscore.regression.splits` ("shuffled", "contiguous", "grouped", ..., or a published
            protocol's), or "blocks": contiguous ones, with `trim` rows between them and what is trained on.
        folds: how many; by default the scheme's, 5 for most.
        seed: by default the scheme's.
        by: the coordinate that the scheme keeps whole or stratifies on; the passage if left out.
        values: the coordinate that the scheme splits by value.
        trim: rows; only for "blocks".
    """

    scheme: Scheme
    folds: Annotated[int, Field(ge=3)] | None = None
    seed: int | None = None
    by: str | None = None
    values: str | None = None
    trim: NonNegativeInt = 0

    @model_validator(mode="after")
    def _trimmed(self) -> Splits:
        if self.trim and self.scheme != "blocks":
            raise ValueError(f'trim belongs to scheme = "blocks", {self.scheme} trims nothing')
        return self


class Regression(Part):
    """`ols` (minimum norm, cut-off `rcond`), `ridge` at `alpha`, or ridge at one of `alphas`.

    `ridge-loo` chooses it for each neuroid in training by leave-one-out, `ridge-gcv` by generalised cross-validation;
    `per_neuroid = false`: one for all neuroids, by the mean error.
    """

    solver: Literal["ols", "ridge", "ridge-loo", "ridge-gcv"]
    rcond: Annotated[float, Field(gt=0, lt=1)] = 1e-6
    alpha: PositiveFloat | None = None
    alphas: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
    per_neuroid: bool = True

    @model_validator(mode="after")
    def _alpha_for_ridge(self) -> Regression:
        if self.solver == "ridge" and self.alpha is None:
            raise ValueError("ridge needs alpha, for example alpha = 1.0")
        return self


class Aggregation(Part):
    """From values of neuroids to one score.

    Attributes:
        kind: "subjects" (2021 pipeline): mean over folds and parts, over the ceiling, median over the neuroids of a
            subject, median over subjects. "neuroids" (today's platform): in each fold the median over all neuroids of
            all subjects, mean over folds, over the ceiling.
        neuroids: coordinate -> the value of the neuroids that the score is made of.
        clip: whether scores end at 0 and 1; what they were is kept.
        error: "mad": scaled median absolute deviation over subjects (over folds where there is one); "sd": standard
            deviation over subjects; "bootstrap": standard error over resampled subjects, with a 95% interval.
        by: coordinate of neuroid; the score of each of its values is given beside.
    """

    kind: Literal["subjects", "neuroids"] = "subjects"
    neuroids: dict[str, str] = {}
    clip: bool = False
    error: Literal["mad", "sd", "bootstrap"] = "mad"
    by: str | None = None


class Ceiling(Part):
    """The noise ceiling.

    Attributes:
        kind: "published": one `value` for the aggregate; "neuroid": each neuroid over its own, from `values` (by
            neuroid_id) or the assembly's coordinate `coordinate`; "file": from a ceiling that was stored before;
            "computed": by `method`, from the responses themselves; "none": scores are raw correlations.
        source: where the ceiling comes from, in a sentence; shown with every score.
        each: "file" and "computed": whether each neuroid is divided by its own ceiling, or the aggregate by its median.
        file: url or path of a stored ceiling.
        sha1: its expected hash.
        method: "extrapolation" to infinitely many subjects, "holdout" of each subject in turn, "split-half" or
            "test-retest" of repetitions, "subject-halves" of a mean over subjects ("surprisal").
        over: extrapolation: to infinitely many "subjects" or "electrodes".
        subsets: extrapolation: random subsets of subjects for each number of them; all if left out.
        held_out: extrapolation: random subjects that are predicted in each subset; all of it if left out.
        bootstraps: extrapolation: how many.
        splits: halves: how many random ones.
        seed: of what is drawn.
    """

    kind: Literal["published", "neuroid", "file", "computed", "none"]
    source: Name
    value: PositiveFloat | None = None
    values: dict[str, float] = {}
    coordinate: str | None = None
    each: bool = False
    file: str | None = None
    sha1: str | None = None
    method: Literal["extrapolation", "holdout", "split-half", "test-retest", "subject-halves"] | None = None
    over: Literal["subjects", "electrodes"] = "subjects"
    subsets: PositiveInt | None = None
    held_out: PositiveInt | None = None
    bootstraps: PositiveInt = 100
    splits: PositiveInt = 10
    seed: int = 0

    @model_validator(mode="after")
    def _complete(self) -> Ceiling:
        needed = {"published": self.value, "file": self.file, "computed": self.method}
        names = {"published": "value", "file": "file", "computed": "method"}
        if self.kind in needed and needed[self.kind] is None:
            raise ValueError(f"a {self.kind} ceiling needs {names[self.kind]}")
        if self.kind == "neuroid" and bool(self.values) == bool(self.coordinate):
            raise ValueError("a ceiling per neuroid needs either values or coordinate")
        return self


class Behaviour(Part):
    """Reading times and the like: how a model's surprisal meets them.

    Attributes:
        shift: the response to a word is the one that is stored so many words before it in its story.
        absolute: whether the score is |r|.
        controls: whether to say what surprisal adds to the length of words, their frequency and the word before.
        frequency: table with the columns word and count, for `controls`.
    """

    shift: NonNegativeInt = 0
    absolute: bool = True
    controls: bool = False
    frequency: str | None = None
