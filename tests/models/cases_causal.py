"""Rows of the decoder families: see `CASES` in test_families."""

from __future__ import annotations

NEO = {
    "vocab_size": 97,
    "hidden_size": 36,
    "num_layers": 4,
    "num_heads": 3,
    "max_position_embeddings": 40,
    "attention_types": [[["global", "local"], 2]],
    "window_size": 6,
}
GPTJ = {"vocab_size": 97, "n_embd": 36, "n_layer": 3, "n_head": 3, "n_positions": 40, "rotary_dim": 8}
NEOX = {
    "vocab_size": 97,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 52,
    "max_position_embeddings": 40,
}
BLOOM = {"vocab_size": 97, "hidden_size": 36, "n_layer": 3, "n_head": 3}
FALCON = {
    "vocab_size": 97,
    "hidden_size": 36,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "max_position_embeddings": 40,
}
RW = FALCON | {
    "alibi": True,
    "multi_query": False,
    "parallel_attn": False,
    "bias": True,
    "max_position_embeddings": 120,
}
MPT = {"vocab_size": 97, "d_model": 36, "n_layers": 3, "n_heads": 4, "max_seq_len": 40}
PHI = {
    "vocab_size": 97,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 52,
    "max_position_embeddings": 40,
}
LLAMA = PHI | {"num_attention_heads": 4}
NEW = FALCON | {"new_decoder_architecture": True, "num_kv_heads": 2}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
YARN = {"rope_type": "yarn", "rope_theta": 500.0, "factor": 2.5, "original_max_position_embeddings": 16}
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0, 1.25, 1.5, 2.0, 2.5, 3.0],
    "long_factor": [2.0, 2.5, 3.0, 4.0, 5.0, 6.0],
}
GEMMA = {  # narrow: norms that scale by about 2 make wider ones differ by more than 2e-5 from themselves in float64
    "vocab_size": 97,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 10,
    "intermediate_size": 28,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
GEMMA2 = GEMMA | {"sliding_window": 6, "query_pre_attn_scalar": 30}
GEMMA3 = GEMMA2 | {"sliding_window_pattern": 2}
STABLE = LLAMA | {"num_attention_heads": 3}
SLIDING = {"sliding_window": 5, "use_sliding_window": True, "max_window_layers": 1}

CASES = {
    "gpt_neo": ("GPTNeoModel", NEO),
    "gpt_neo, prefix": ("GPTNeoForCausalLM", NEO | {"intermediate_size": 50}),
    "gpt_neo, all global": ("GPTNeoModel", NEO | {"attention_types": [[["global"], 4]]}),
    "gpt_neo, local, local, global": (
        "GPTNeoModel",
        NEO | {"num_layers": 3, "attention_types": [[["local"], 2], [["global"], 1]], "window_size": 3},
    ),
    "gpt_neo, classifier": ("GPTNeoForSequenceClassification", NEO | {"pad_token_id": 0, "window_size": 1}),
    "gpt_neo, exact gelu": ("GPTNeoModel", NEO | {"activation_function": "gelu", "num_heads": 9}),
    "gptj": ("GPTJModel", GPTJ),
    "gptj, prefix": ("GPTJForCausalLM", GPTJ | {"n_inner": 50, "rotary": True, "scale_attn_weights": True}),
    "gptj, whole head rotates": ("GPTJModel", GPTJ | {"rotary_dim": 12, "n_positions": 120}),
    "gptj, tied": ("GPTJForCausalLM", GPTJ | {"tie_word_embeddings": True, "n_head": 2, "rotary_dim": 4}),
    "gptj, exact gelu": ("GPTJForQuestionAnswering", GPTJ | {"activation_function": "gelu"}),
    "gpt_neox": ("GPTNeoXModel", NEOX),
    "gpt_neox, prefix": ("GPTNeoXForCausalLM", NEOX),
    "gpt_neox, serial": ("GPTNeoXForCausalLM", NEOX | {"use_parallel_residual": False}),
    "gpt_neox, no biases of attention": ("GPTNeoXModel", NEOX | {"attention_bias": False, "hidden_act": "gelu_new"}),
    "gpt_neox, old names of rotations": ("GPTNeoXModel", NEOX | {"rotary_pct": 0.5, "rotary_emb_base": 500}),
    "gpt_neox, odd share": ("GPTNeoXModel", NEOX | {"rotary_pct": 0.32}),
    "gpt_neox, tied": ("GPTNeoXForCausalLM", NEOX | {"tie_word_embeddings": True, "num_attention_heads": 4}),
    "gpt_neox, linear": (
        "GPTNeoXForSequenceClassification",
        NEOX | {"pad_token_id": 0, "rope_parameters": {"rope_type": "linear", "factor": 3.0}},
    ),
    "bloom": ("BloomModel", BLOOM),
    "bloom, prefix": ("BloomForCausalLM", BLOOM | {"n_head": 1, "seq_length": 30, "skip_bias_add": True}),
    "bloom, four heads": ("BloomModel", BLOOM | {"n_head": 4}),
    "bloom, twelve heads": ("BloomForSequenceClassification", BLOOM | {"n_head": 12, "pad_token_id": 3}),
    "bloom, large eps": ("BloomModel", BLOOM | {"layer_norm_epsilon": 0.3}),
    "falcon 7b": ("FalconModel", FALCON),
    "falcon 7b, prefix": ("FalconForCausalLM", FALCON | {"bias": True, "ffn_hidden_size": 50}),
    "falcon 7b, many keys": ("FalconModel", FALCON | {"multi_query": False}),
    "falcon 7b, serial": ("FalconModel", FALCON | {"parallel_attn": False, "activation": "gelu_new"}),
    "falcon 40b": ("FalconForCausalLM", NEW | {"apply_residual_connection_post_layernorm": False}),
    "falcon 40b, three groups": ("FalconModel", NEW | {"num_kv_heads": 3, "bias": True}),
    "falcon 40b, two norms": ("FalconModel", NEW | {"num_ln_in_parallel_attn": 2, "multi_query": False}),
    "falcon 40b, one norm": ("FalconModel", NEW | {"num_ln_in_parallel_attn": 1, "tie_word_embeddings": False}),
    "falcon, llama3": ("FalconModel", FALCON | {"rope_parameters": LLAMA3}),
    "falcon rw, 16 heads": ("FalconForCausalLM", RW | {"num_attention_heads": 16, "hidden_size": 48}),
    "falcon rw, six heads": ("FalconModel", RW),
    "falcon rw, parallel": ("FalconModel", RW | {"parallel_attn": True, "multi_query": True}),
    "mpt": ("MptModel", MPT),
    "mpt, prefix": ("MptForCausalLM", MPT | {"max_seq_len": 120}),
    "mpt, six heads": ("MptModel", MPT | {"n_heads": 6}),
    "mpt, nine heads": ("MptForSequenceClassification", MPT | {"n_heads": 9, "pad_token_id": 0}),
    "mpt, clip": ("MptForCausalLM", MPT | {"attn_config": {"clip_qkv": 0.7}}),
    "mpt, scale": ("MptModel", MPT | {"attn_config": {"softmax_scale": 0.6, "attn_impl": "triton"}, "n_heads": 3}),
    "phi": ("PhiModel", PHI),
    "phi, prefix": ("PhiForCausalLM", PHI | {"num_key_value_heads": 1}),
    "phi, query-key norm": ("PhiModel", PHI | {"qk_layernorm": True}),
    "phi, 0.4 rotates": ("PhiForSequenceClassification", PHI | {"partial_rotary_factor": 0.4, "pad_token_id": 0}),
    "phi, whole head rotates": ("PhiModel", PHI | {"partial_rotary_factor": 1.0, "hidden_act": "gelu"}),
    "phi, linear": ("PhiModel", PHI | {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 300.0}}),
    "llama": ("LlamaModel", LLAMA),
    "llama, prefix": ("LlamaForCausalLM", LLAMA | {"num_key_value_heads": 2}),
    "llama, tied": ("LlamaForCausalLM", LLAMA | {"tie_word_embeddings": True, "num_key_value_heads": 1}),
    "llama, narrow heads": ("LlamaModel", LLAMA | {"head_dim": 10, "num_attention_heads": 6, "num_key_value_heads": 3}),
    "llama, biases": ("LlamaForCausalLM", LLAMA | {"attention_bias": True, "mlp_bias": True, "num_attention_heads": 3}),
    "llama, exact gelu": ("LlamaForSequenceClassification", LLAMA | {"hidden_act": "gelu", "pad_token_id": 0}),
    "llama, theta": (
        "LlamaModel",
        LLAMA | {"rope_theta": 300.0, "max_position_embeddings": 120, "num_hidden_layers": 2},
    ),
    "llama, linear": ("LlamaModel", LLAMA | {"rope_scaling": {"type": "linear", "factor": 3.0}}),
    "llama, dynamic": ("LlamaModel", LLAMA | {"rope_scaling": {"rope_type": "dynamic", "factor": 3.0}}),
    "llama, llama3": ("LlamaModel", LLAMA | {"rope_parameters": LLAMA3}),
    "llama, yarn": ("LlamaModel", LLAMA | {"rope_parameters": YARN}),
    "llama, yarn, every number": (
        "LlamaForCausalLM",
        LLAMA | {"rope_parameters": YARN | {"beta_fast": 3.0, "beta_slow": 0.3, "mscale": 1.3, "mscale_all_dim": 0.7}},
    ),
    "llama, yarn, not truncated": (
        "LlamaModel",
        LLAMA | {"rope_parameters": YARN | {"truncate": False, "attention_factor": 1.3}},
    ),
    "llama, longrope": (
        "LlamaModel",
        LLAMA | {"rope_parameters": LONGROPE | {"original_max_position_embeddings": 32, "factor": 2.0}},
    ),
    "mistral": ("MistralModel", LLAMA | {"num_key_value_heads": 2, "sliding_window": 6}),
    "mistral, prefix": ("MistralForCausalLM", LLAMA | {"num_key_value_heads": 1, "sliding_window": None}),
    "mistral, wide heads": (
        "MistralForCausalLM",
        LLAMA | {"num_key_value_heads": 4, "head_dim": 16, "sliding_window": 1, "tie_word_embeddings": True},
    ),
    "qwen2": ("Qwen2Model", LLAMA | {"num_key_value_heads": 2}),
    "qwen2, prefix, tied": (
        "Qwen2ForCausalLM",
        LLAMA | {"num_key_value_heads": 1, "tie_word_embeddings": True, "use_mrope": False},
    ),
    "qwen2, windows": ("Qwen2Model", LLAMA | SLIDING | {"num_key_value_heads": 4}),
    "qwen2, window unused": ("Qwen2Model", LLAMA | {"num_key_value_heads": 4, "sliding_window": 5}),
    "qwen2, yarn": ("Qwen2Model", LLAMA | {"num_key_value_heads": 2, "rope_parameters": YARN}),
    "qwen3": ("Qwen3Model", LLAMA | {"num_key_value_heads": 2, "head_dim": 16}),
    "qwen3, prefix, tied": (
        "Qwen3ForCausalLM",
        LLAMA | {"num_key_value_heads": 1, "head_dim": 10, "tie_word_embeddings": True},
    ),
    "qwen3, biases, windows": (
        "Qwen3ForCausalLM",
        LLAMA | SLIDING | {"num_key_value_heads": 2, "head_dim": 12, "attention_bias": True},
    ),
    "qwen3, layer types": (
        "Qwen3Model",
        LLAMA
        | SLIDING
        | {"num_key_value_heads": 4, "head_dim": 12, "layer_types": [*["sliding_attention"] * 2, "full_attention"]},
    ),
    "phi3": ("Phi3Model", LLAMA | {"pad_token_id": 0, "attention_bias": False}),
    "phi3, prefix": ("Phi3ForCausalLM", LLAMA | {"pad_token_id": 0, "num_key_value_heads": 2, "sliding_window": 6}),
    "phi3, tied, partial": (
        "Phi3ForCausalLM",
        LLAMA | {"pad_token_id": 0, "tie_word_embeddings": True, "partial_rotary_factor": 0.5},
    ),
    "phi3, longrope": (
        "Phi3ForCausalLM",
        LLAMA | {"pad_token_id": 0, "original_max_position_embeddings": 24, "rope_scaling": dict(LONGROPE)},
    ),
    "smollm3": ("SmolLM3Model", LLAMA | {"pad_token_id": 0, "no_rope_layers": [1, 0, 1]}),
    "smollm3, prefix, windows": (
        "SmolLM3ForCausalLM",
        LLAMA
        | {"pad_token_id": 0, "no_rope_layer_interval": 2, "num_hidden_layers": 4, "num_key_value_heads": 2}
        | {"use_sliding_window": True, "sliding_window": 5, "tie_word_embeddings": False},
    ),
    "smollm3, yarn, biases": (
        "SmolLM3Model",
        LLAMA | {"pad_token_id": 0, "rope_parameters": YARN, "attention_bias": True, "no_rope_layer_interval": 3},
    ),
    "stablelm": ("StableLmModel", STABLE | {"num_key_value_heads": 3}),
    "stablelm, prefix, biases": ("StableLmForCausalLM", STABLE | {"num_key_value_heads": 1, "use_qkv_bias": True}),
    "stablelm, parallel": (
        "StableLmForCausalLM",
        LLAMA
        | {"num_key_value_heads": 1, "use_parallel_residual": True, "partial_rotary_factor": 0.5, "hidden_act": "gelu"},
    ),
    "starcoder2": ("Starcoder2Model", LLAMA | {"num_key_value_heads": 2}),
    "starcoder2, prefix, windows": ("Starcoder2ForCausalLM", LLAMA | {"num_key_value_heads": 1, "sliding_window": 6}),
    "starcoder2, no biases": (
        "Starcoder2ForCausalLM",
        LLAMA | {"num_key_value_heads": 4, "use_bias": False, "tie_word_embeddings": False, "hidden_act": "gelu"},
    ),
    "olmo": ("OlmoModel", LLAMA),
    "olmo, prefix, clip": ("OlmoForCausalLM", LLAMA | {"clip_qkv": 0.7, "num_key_value_heads": 2}),
    "olmo, tied, biases": ("OlmoForCausalLM", LLAMA | {"attention_bias": True, "tie_word_embeddings": True}),
    "olmo2": ("Olmo2Model", LLAMA),
    "olmo2, prefix": ("Olmo2ForCausalLM", LLAMA | {"num_key_value_heads": 2, "rms_norm_eps": 0.1}),
    "olmo2, tied, biases": ("Olmo2ForCausalLM", LLAMA | {"attention_bias": True, "tie_word_embeddings": True}),
    "olmo3": ("Olmo3Model", LLAMA | {"num_hidden_layers": 4, "sliding_window": 6}),
    "olmo3, prefix, yarn": (
        "Olmo3ForCausalLM",
        LLAMA
        | {
            "num_key_value_heads": 2,
            "sliding_window": 4,
            "layer_types": ["full_attention", "sliding_attention", "full_attention"],
            "rope_scaling": dict(YARN),
        },
    ),
    "gemma": ("GemmaModel", GEMMA),
    "gemma, prefix": ("GemmaForCausalLM", GEMMA | {"hidden_act": "gelu", "num_key_value_heads": 1}),
    "gemma, biases": ("GemmaForCausalLM", GEMMA | {"attention_bias": True, "hidden_act": "silu"}),
    "gemma2": ("Gemma2Model", GEMMA2),
    "gemma2, prefix, soft-cap": ("Gemma2ForCausalLM", GEMMA2 | {"attn_logit_softcapping": 1.0}),
    "gemma2, no soft-cap": ("Gemma2Model", GEMMA2 | {"attn_logit_softcapping": None, "num_key_value_heads": 1}),
    "gemma2, all full": ("Gemma2Model", GEMMA2 | {"layer_types": ["full_attention"] * 2, "attention_bias": True}),
    "gemma3_text": ("Gemma3TextModel", GEMMA3),
    "gemma3_text, prefix": ("Gemma3ForCausalLM", GEMMA3 | {"rope_local_base_freq": 30.0, "rope_theta": 500.0}),
    "gemma3_text, all windows": ("Gemma3TextModel", GEMMA2 | {"num_key_value_heads": 4, "attention_bias": True}),
    "gemma3_text, linear": (
        "Gemma3ForCausalLM",
        GEMMA3 | {"sliding_window": 3, "rope_scaling": {"rope_type": "linear", "factor": 3.0}},
    ),
}
SMALL = {
    "gpt_neo, eps": ("GPTNeoModel", NEO | {"layer_norm_epsilon": 1e-3}),
    "gptj": ("GPTJModel", GPTJ),
    "gpt_neox": ("GPTNeoXModel", NEOX),
    "bloom": ("BloomModel", BLOOM),
    "falcon 40b": ("FalconModel", NEW),
    "mpt": ("MptModel", MPT),
    "phi": ("PhiModel", PHI),
    "llama": ("LlamaModel", LLAMA),
    "llama, eps": ("LlamaModel", LLAMA | {"rms_norm_eps": 1e-3}),
    "stablelm": ("StableLmModel", STABLE | {"num_key_value_heads": 3}),
    "starcoder2": ("Starcoder2Model", LLAMA | {"num_key_value_heads": 4}),
    "olmo": ("OlmoModel", LLAMA),
    "olmo2": ("Olmo2Model", LLAMA),
    "gemma2": ("Gemma2Model", GEMMA2),
    "gemma3_text": ("Gemma3TextModel", GEMMA3),
}

# transformers' eager attention adds Falcon's ALiBi twice; its sdpa attention adds it once, as Falcon's own code does
SDPA = {"falcon rw, 16 heads", "falcon rw, six heads", "falcon rw, parallel"}
INIT = (
    "gpt_neo, prefix",
    "gptj, prefix",
    "gpt_neox, prefix",
    "bloom, twelve heads",
    "falcon 7b, prefix",
    "falcon rw, six heads",
    "mpt, prefix",
    "phi, 0.4 rotates",
    "llama, exact gelu",
    "llama, biases",
    "qwen2",
    "qwen3",
    "phi3, prefix",
    "smollm3",
    "stablelm",
    "starcoder2",
    "olmo",
    "olmo2",
    "olmo3",
    "gemma, prefix",
    "gemma2",
    "gemma3_text",
)
