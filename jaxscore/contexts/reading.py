"""How stimuli are read: a protocol, a window, what may be seen, and what is presented; stimuli -> windows of tokens.

- "chained", the 2021 pipeline: stimuli are tokenised one by one and their tokens chained, a context at a time. A
  bidirectional model sees nothing to the right either. End tokens stand there only after the last stimulus, right of
  all that is pooled: they change nothing, and are left out.
- "parts", today's platform: the text up to each part is tokenised and read anew (`contexts.parts`).
- "joined", ours for running text: the stimuli of a context are joined and tokenised once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

from jaxscore.contexts.chains import chain_apart, chain_joined
from jaxscore.contexts.encoding import added_tokens, check_texts, count_otherwise, start_tokens
from jaxscore.contexts.parts import part_windows
from jaxscore.contexts.presentations import Presentation, locate, present
from jaxscore.contexts.windows import (
    Window,
    exact_windows,
    full_windows,
    group_stimuli,
    room_for,
    strided_windows,
)
from jaxscore.errors import JaxscoreError, ModelError, did_you_mean

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WINDOW = 512
"""Longest input in tokens where a protocol has a limit of its own, that of the 2021 pipeline."""


@dataclass(frozen=True)
class Reading:
    """How stimuli are read.

    Attributes:
        protocol: "chained" (2021 pipeline), "parts" (today's platform) or "joined" (running text).
        window: longest input in tokens, special ones included; the model's own maximum also holds. None: 512, and no
            other limit than the model's own for "parts", as today's platform knows none.
        stride: tokens between the beginnings of windows where a context exceeds the window. None: every presentation
            beyond it gets a window of its own that ends with it (exact); for "joined", and for "full", half a window.
            Without effect where each presentation has its own window anyway: in a bidirectional model and "prefix".
        bos: start tokens: "auto" as the tokenizer does by itself, "never", or "always".
        bidirectional: what a bidirectional model sees: the "prefix" up to the presentation, or the "full" context.
        unit: what is presented: each "stimulus", or each white-space "word" of it ("parts": each word is a part).

    Raises:
        JaxscoreError: for a value that is not known, or values that contradict each other.
    """

    protocol: Literal["chained", "parts", "joined"] = "chained"
    window: int | None = None
    stride: int | None = None
    bos: Literal["auto", "never", "always"] = "auto"
    bidirectional: Literal["prefix", "full"] = "prefix"
    unit: Literal["stimulus", "word"] = "stimulus"

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            value, known = getattr(self, name), [v for v in get_args(hint) if isinstance(v, str)]
            if known and value not in known:
                message = f"{name}: {value!r} is unknown. {did_you_mean(str(value), known)}".strip()
                raise JaxscoreError(message, f"Known: {', '.join(known)}.")
        if self.window is None and self.protocol != "parts":
            object.__setattr__(self, "window", WINDOW)
        if any(count is not None and count < 1 for count in (self.window, self.stride)):
            raise JaxscoreError(
                f"window {self.window}, stride {self.stride}: both count tokens", "Give numbers of at least 1."
            )
        if self.protocol == "parts" and (self.stride is not None or self.bidirectional == "full"):
            raise JaxscoreError(
                "protocol 'parts' reads the text up to each part anew: it knows no stride and nothing to the right",
                "Leave both out, or use the protocol 'joined'.",
            )


@dataclass(frozen=True)
class Reads:
    """What a model is to read.

    Attributes:
        windows: every presentation in exactly one slot of one window.
        start: tokens at the start of each window.
        end: tokens at the end of each window.
        presentations: what is pooled, in the order of the stimuli; slots count by their place here.
        notes: for the record: protocol, unit, window, stride (None: the exact rule), bidirectional (None: a causal
            model), start, end; how many contexts, windows, presentations that have a window to themselves (`alone`) or
            lost their first tokens, bare spaces before them included, to the edge of one (`clipped`), and stimuli that
            a tokenizer without offsets, which gets one word at a time, would by itself have read otherwise
            (`otherwise`).
    """

    windows: list[Window]
    start: list[int]
    end: list[int]
    presentations: list[Presentation]
    notes: dict[str, Any]


def read(
    tokenizer: PreTrainedTokenizerBase,
    stimuli: Sequence[str],
    ids: Sequence[str],
    contexts: Sequence[str],
    reading: Reading,
    *,
    causal: bool,
    limit: int,
) -> Reads:
    """Turn stimuli into windows of tokens.

    Args:
        tokenizer: of transformers.
        stimuli: one text each.
        ids: their ids, for messages.
        contexts: the context of each stimulus, as a label; contexts know nothing of each other.
        reading: the protocol.
        causal: whether the model sees only what stands left.
        limit: longest input of the model in tokens.

    Raises:
        DataError: for a stimulus without words, or a word without a token of its own; names both.
        ModelError: if windows have no room for text, or "full" is asked of a causal model.
    """
    if causal and reading.bidirectional == "full":
        raise ModelError(
            "bidirectional 'full': this model is causal, no state of it can see what stands to the right",
            "Leave it at 'prefix', or choose a bidirectional model.",
        )
    check_texts(stimuli, ids)
    limit = limit if reading.window is None else min(limit, reading.window)
    presentations = present(stimuli, reading.unit)
    ends = reading.protocol == "parts" or reading.bidirectional == "full"
    start, end = start_tokens(tokenizer, reading.bos), added_tokens(tokenizer)[1] if ends else []
    room = room_for(limit, start, end)
    if reading.protocol == "parts":
        texts, names = [text for *_, text in presentations], [ids[i] for i, *_ in presentations]
        groups = group_stimuli([contexts[i] for i, *_ in presentations])
        windows = part_windows(tokenizer, texts, names, groups, start, end, room, causal=causal)
        stride = None
    else:
        windows, stride = _read_chains(
            tokenizer, stimuli, ids, contexts, presentations, reading, start, end, room, causal=causal
        )
    notes = {name: getattr(reading, name) for name in ("protocol", "unit")} | {
        "bidirectional": None if causal else reading.bidirectional,
        "window": limit,
        "stride": stride,
        "start": start,
        "end": end,
        "contexts": len(set(contexts)),
        "windows": len(windows),
        "alone": sum(len(window.slots) == 1 for window in windows),
        "clipped": sum(slot.clipped for window in windows for slot in window.slots),
        "otherwise": count_otherwise(tokenizer, stimuli),
    }
    return Reads(windows, start, end, presentations, notes)


def _read_chains(
    tokenizer: PreTrainedTokenizerBase,
    stimuli: Sequence[str],
    ids: Sequence[str],
    contexts: Sequence[str],
    presentations: Sequence[Presentation],
    reading: Reading,
    start: Sequence[int],
    end: Sequence[int],
    room: int,
    *,
    causal: bool,
) -> tuple[list[Window], int | None]:
    """Windows of the protocols "chained" and "joined", and the stride that was in force."""
    make = chain_joined if reading.protocol == "joined" else chain_apart
    chains = make(tokenizer, stimuli, ids, group_stimuli(contexts))
    spans = locate(chains, presentations)
    stride = _stride(reading, room, len(start) + len(end), causal=causal)
    windows = []
    for chain, own in zip(chains, spans, strict=True):
        if reading.bidirectional == "full":
            windows += full_windows(chain.ids, own, start, end, room, stride)
        elif stride is None:
            windows += exact_windows(chain.ids, own, start, room, causal=causal)
        else:
            windows += strided_windows(chain.ids, own, start, room, stride)
    return windows, stride


def _stride(reading: Reading, room: int, special: int, *, causal: bool) -> int | None:
    """Tokens between windows, or None for the exact rule."""
    if reading.bidirectional == "prefix" and not causal:
        return None
    if reading.stride is None:
        exact = reading.protocol == "chained" and causal
        return None if exact else max(1, min((room + special) // 2, room))
    if reading.stride > room:
        raise ModelError(
            f"stride {reading.stride}: windows hold {room} tokens of text, some would never be read",
            "Choose a smaller stride or a larger window.",
        )
    return reading.stride
