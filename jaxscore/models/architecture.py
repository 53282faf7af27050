"""What the scanned block must know about a model: one frozen description for every family that it covers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, runtime_checkable

Params = dict[str, Any]
"""Nested arrays by name; those under `blocks` are stacked over layers."""


@runtime_checkable
class Body(Protocol):
    """What the pass asks of an architecture: frozen and hashable, since it is a static argument of the jitted pass.

    Attributes:
        family: `model_type` of the checkpoint's config.json.
        layers: number of blocks.
        width: features of a hidden state.
        vocabulary: rows of the token embedding.
        positions: longest text in tokens, special tokens included.
        causal: whether a token sees only what stands left of it.
        head: where the language-model head's matrix is: "tied" to the embedding, "untied", or None without a head.
        widths: features of each state that `forward` keeps: transformers' `hidden_states`, then those beyond them.
    """

    family: str
    layers: int
    width: int
    vocabulary: int
    positions: int
    causal: bool
    head: Literal["tied", "untied"] | None

    @property
    def widths(self) -> tuple[int, ...]:
        """Features of each kept state."""

    @property
    def extra_states(self) -> tuple[str, ...]:
        """Names of the states kept beyond transformers' `hidden_states`."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by its path."""

    def forward(self, params: Params, layout: Any, keep: Callable) -> tuple[Any, Any]:
        """Run the model: (kept states stacked along the first axis, what the head reads [token, feature])."""


@dataclass(frozen=True)
class Rotary:
    """Rotary position embedding.

    Attributes:
        width: leading features of a head that rotate.
        theta: base of the frequencies.
        interleaved: pairs are (0, 1), (2, 3), ... (GPT-J) and not (0, width / 2), (1, width / 2 + 1), ...
        kind: "default", "linear", "llama3", "yarn", "longrope", or "none": angles of 0, for layers that do not rotate.
        scaling: the numbers that the kind needs, as (name, value) pairs.
    """

    width: int
    theta: float = 10000.0
    interleaved: bool = False
    kind: str = "default"
    scaling: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Architecture:
    """A model that the scanned block covers; hashable, so that it is a static argument of the jitted pass.

    Attributes:
        family: `model_type` of the checkpoint's config.json.
        layers: number of blocks; there are `layers + 1` hidden states, numbered from the input of the first block.
        width: features of a hidden state.
        heads: attention heads.
        hidden: width inside the MLP.
        vocabulary: rows of the token embedding.
        positions: longest text in tokens, special tokens included.
        activation: of the MLP; a key of `block.ACTIVATIONS`.
        eps: of every norm.
        norm: where the norms stand. "pre": x + f(norm(x)). "post": norm(x + f(x)). "sandwich": x + norm(f(norm(x))).
            "inner": x + norm(f(x)). "parallel": x + attention(norm(x)) + mlp(norm(x)), one norm; "parallel-two": two.
        first_unnormed: the first block's attention reads its input as it is, without a norm before it (ModernBERT).
        causal: whether a token sees only what stands left of it.
        norm_kind: "layer" (scale and bias), "layer-scale" (no bias), "layer-plain" (neither), "rms" (scale),
            "rms-plus-one" (scale stored as its difference from 1).
        final_norm: whether a norm follows the last block.
        biases: which of "qkv", "out", "up", "down" have a bias.
        kv_heads: heads of keys and values; 0: as many as `heads`.
        head_width: features of a head; 0: width / heads.
        gated: whether the MLP is activation(gate(x)) * up(x); `up` then holds gate and up side by side.
        attention_scale: factor on the logits; 0: head_width ** -0.5.
        softcap: c in c * tanh(logits / c) before the mask; 0: none.
        clip: queries, keys and values are clipped to [-clip, clip]; 0: not.
        qk_norm: queries and keys are normed over each "head" (before rotation) or over their "full" width.
        windows: how many tokens, itself included, a token sees to its left (and right), by layer; 0: all. () : all.
        position: "learned", "sinusoid" (sines, then cosines), "rotary", "alibi", "buckets" (T5) or "none".
        position_offset: row of the position table that belongs to the first token (RoBERTa: pad_token_id + 1).
        rotary: the rotations, and `rotary_of` which of them each layer uses; (): the first.
        alibi: slope of each head; `alibi_rounded`: computed in bfloat16 and scaled with the logits (Falcon).
        buckets: (number, largest distance) of T5's relative positions; `buckets_by_layer`: each layer has a table
            of its own (UMT5) and does not share the first one's.
        embedding_width: width of the token embedding; differs from `width` where it is projected.
        embedding_scale: factor on the token embedding.
        embedding_norm: whether a norm follows the embeddings.
        project_first: the projection stands before positions are added (OPT) and not after the norm (ELECTRA).
        project_bias: whether that projection has a bias.
        project_last: the last state is projected back to `embedding_width` (OPT-350m).
        token_type: whether the row of token type 0 is added.
        block_of: stored block that each layer uses, where layers share weights (ALBERT); (): its own.
        head: where the head's matrix is: "tied", "untied", or None without one; `head_bias` and
            `head_softcap` (as `softcap`, of its logits) go with it.
        initializer_range: standard deviation of freshly drawn weights.
        residual_scale: factor on that deviation for the two matrices that write to the residual stream.
        embedding_range: standard deviation of freshly drawn embeddings, where it is another one; 0: it is not.
        sinusoid_start: a freshly drawn table of positions holds sines and cosines (DistilBERT, XLM).
        padding_row: row of the token embedding that is zero in a freshly drawn model.
    """

    family: str
    layers: int
    width: int
    heads: int
    hidden: int
    vocabulary: int
    positions: int
    activation: str
    eps: float
    norm: Literal["pre", "post", "sandwich", "inner", "parallel", "parallel-two"]
    causal: bool
    norm_kind: Literal["layer", "layer-scale", "layer-plain", "rms", "rms-plus-one"] = "layer"
    final_norm: bool = False
    first_unnormed: bool = False
    biases: tuple[str, ...] = ("qkv", "out", "up", "down")
    kv_heads: int = 0
    head_width: int = 0
    gated: bool = False
    attention_scale: float = 0.0
    softcap: float = 0.0
    clip: float = 0.0
    qk_norm: Literal["head", "full"] | None = None
    windows: tuple[int, ...] = ()
    position: Literal["learned", "sinusoid", "rotary", "alibi", "buckets", "none"] = "learned"
    position_offset: int = 0
    rotary: tuple[Rotary, ...] = ()
    rotary_of: tuple[int, ...] = ()
    alibi: tuple[float, ...] = ()
    alibi_rounded: bool = False
    buckets: tuple[int, int] = (0, 0)
    buckets_by_layer: bool = False
    embedding_width: int = 0
    embedding_scale: float = 1.0
    embedding_norm: bool = False
    project_first: bool = False
    project_bias: bool = True
    project_last: bool = False
    token_type: bool = False
    block_of: tuple[int, ...] = ()
    head: Literal["tied", "untied"] | None = None
    head_bias: bool = False
    head_softcap: float = 0.0
    initializer_range: float = 0.02
    residual_scale: float = 1.0
    embedding_range: float = 0.0
    sinusoid_start: bool = False
    padding_row: int | None = None

    def __post_init__(self) -> None:
        for name, default in {
            "kv_heads": self.heads,
            "head_width": self.width // self.heads,
            "embedding_width": self.width,
            "embedding_range": self.initializer_range,
        }.items():
            if not getattr(self, name):
                object.__setattr__(self, name, default)
        if not self.attention_scale:
            object.__setattr__(self, "attention_scale", self.head_width**-0.5)

    @property
    def widths(self) -> tuple[int, ...]:
        """Features of each kept state: the `layers + 1` hidden states, then those of `extra_states`."""
        last = self.embedding_width if self.project_last else self.width
        return (*[self.width] * self.layers, last, *[self.width] * len(self.extra_states))

    @property
    def extra_states(self) -> tuple[str, ...]:
        """What leaves the last block, where a norm or a projection follows it, under a name of its own."""
        return ("before_final_norm",) * self.final_norm or ("before_projection",) * self.project_last

    @cached_property
    def qkv_widths(self) -> tuple[int, int, int]:
        """Output features of queries, keys and values in the fused product."""
        keys = self.kv_heads * self.head_width
        return self.heads * self.head_width, keys, keys

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by its path; those under `blocks/` are stacked over stored blocks."""
        d, e, f = self.width, self.embedding_width, self.hidden
        n = max(self.block_of) + 1 if self.block_of else self.layers
        shapes: dict[str, tuple[int, ...]] = {"embed/tokens": (self.vocabulary, e)}
        if self.position == "learned":
            shapes["embed/positions"] = (self.positions + self.position_offset, d if self.project_first else e)
        if self.token_type:
            shapes["embed/type"] = (e,)
        if e != d:
            shapes["embed/project/kernel"] = (e, d)
            if self.project_bias:
                shapes["embed/project/bias"] = (d,)
        matrices = {
            "qkv": (d, sum(self.qkv_widths)),
            "out": (self.qkv_widths[0], d),
            "up": (d, f * (1 + self.gated)),
            "down": (f, d),
        }
        for name, shape in matrices.items():
            shapes[f"blocks/{name}/kernel"] = (n, *shape)
            if name in self.biases:
                shapes[f"blocks/{name}/bias"] = (n, shape[1])
        for path, shape in self._norms(n).items():
            if self.norm_kind != "layer-plain":
                shapes[f"{path}/scale"] = shape
            if self.norm_kind == "layer":
                shapes[f"{path}/bias"] = shape
        if self.position == "buckets":
            name, stack = ("blocks/position_bias", (n,)) if self.buckets_by_layer else ("position_bias", ())
            shapes[name] = (*stack, self.buckets[0], self.heads)
        if self.project_last:
            shapes["project_last/kernel"] = (d, e)
        if self.head == "untied":
            shapes["head/tokens"] = (self.vocabulary, e if self.project_last else d)
        if self.head and self.head_bias:
            shapes["head/bias"] = (self.vocabulary,)
        return shapes

    def _norms(self, n: int) -> dict[str, tuple[int, ...]]:
        """Path and shape of every norm."""
        names = {"sandwich": ("attention_norm", "attention_norm_after", "mlp_norm", "mlp_norm_after")}
        names["parallel"] = ("attention_norm",)
        norms = {f"blocks/{name}": (n, self.width) for name in names.get(self.norm, ("attention_norm", "mlp_norm"))}
        if self.qk_norm:
            q, k, _ = (self.head_width,) * 3 if self.qk_norm == "head" else self.qkv_widths
            norms |= {"blocks/q_norm": (n, q), "blocks/k_norm": (n, k)}
        if self.final_norm:
            norms["final_norm"] = (self.width,)
        if self.embedding_norm:
            norms["embed/norm"] = (self.width if self.project_first else self.embedding_width,)
        return norms

    def forward(self, params: Params, layout: Any, keep: Callable) -> tuple[Any, Any]:
        """Run the scanned block: see `jaxscore.models.block.run`."""
        from jaxscore.models.block import run

        return run(self, params, layout, keep)
