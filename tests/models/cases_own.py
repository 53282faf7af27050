"""Rows of the families with a module of their own, for `test_families`; Transformer-XL has a test file of its own."""

from __future__ import annotations

MAMBA = {"vocab_size": 97, "hidden_size": 24, "num_hidden_layers": 3, "state_size": 5}
RWKV = {"vocab_size": 97, "hidden_size": 24, "num_hidden_layers": 3, "context_length": 40, "pad_token_id": None}
XLNET = {"vocab_size": 97, "d_model": 36, "n_layer": 3, "n_head": 3, "d_inner": 52}

CASES = {
    "mamba": ("MambaModel", MAMBA),
    "mamba, prefix": ("MambaForCausalLM", MAMBA),
    "mamba, untied": ("MambaForCausalLM", MAMBA | {"tie_word_embeddings": False}),
    "mamba, biases": ("MambaModel", MAMBA | {"use_bias": True, "use_conv_bias": False}),
    "mamba, rank, kernel and expansion": ("MambaModel", MAMBA | {"time_step_rank": 7, "conv_kernel": 3, "expand": 3}),
    "mamba, long kernel, one layer": ("MambaModel", MAMBA | {"conv_kernel": 11, "num_hidden_layers": 1}),
    "mamba, tanh": ("MambaModel", MAMBA | {"hidden_act": "tanh", "state_size": 1}),
    "mamba, large eps": ("MambaModel", MAMBA | {"layer_norm_epsilon": 0.3, "residual_in_fp32": False}),
    "mamba, constant steps": ("MambaModel", MAMBA | {"time_step_init_scheme": "constant", "time_step_scale": 0.5}),
    "rwkv": ("RwkvModel", RWKV),
    "rwkv, prefix, rescaled twice": ("RwkvForCausalLM", RWKV | {"num_hidden_layers": 5, "rescale_every": 2}),
    "rwkv, tied": ("RwkvForCausalLM", RWKV | {"tie_word_embeddings": True, "rescale_every": 1}),
    "rwkv, never rescaled": ("RwkvModel", RWKV | {"num_hidden_layers": 7, "rescale_every": 0}),
    "rwkv, seven layers": ("RwkvModel", RWKV | {"num_hidden_layers": 7, "hidden_size": 16}),
    "rwkv, widths": ("RwkvModel", RWKV | {"intermediate_size": 20, "attention_hidden_size": 36, "use_cache": False}),
    "rwkv, large eps": ("RwkvModel", RWKV | {"layer_norm_epsilon": 0.3, "rescale_every": 2}),
    "rwkv, positions": ("RwkvModel", RWKV | {"context_length": 120}),
    "xlnet": ("XLNetModel", XLNET),
    "xlnet, prefix": ("XLNetLMHeadModel", XLNET),
    "xlnet, untied head": ("XLNetLMHeadModel", XLNET | {"tie_word_embeddings": False}),
    "xlnet, classifier": ("XLNetForSequenceClassification", XLNET),
    "xlnet, question answering": ("XLNetForQuestionAnswering", XLNET),
    "xlnet, clamped": ("XLNetModel", XLNET | {"clamp_len": 4}),
    "xlnet, causal": ("XLNetModel", XLNET | {"attn_type": "uni"}),
    "xlnet, causal and clamped": ("XLNetModel", XLNET | {"attn_type": "uni", "clamp_len": 4}),
    "xlnet, nine heads": ("XLNetModel", XLNET | {"n_head": 9, "mem_len": None}),
    "xlnet, tanh gelu": ("XLNetModel", XLNET | {"ff_activation": "gelu_new", "n_head": 1}),
    "xlnet, large eps": ("XLNetModel", XLNET | {"layer_norm_eps": 0.3}),
}
SMALL = {
    "mamba": ("MambaModel", MAMBA),
    "mamba, eps": ("MambaModel", MAMBA | {"layer_norm_epsilon": 1e-3}),
    "rwkv": ("RwkvModel", RWKV | {"rescale_every": 2}),
    "rwkv, eps": ("RwkvModel", RWKV | {"layer_norm_epsilon": 1e-4, "rescale_every": 2}),
    "xlnet": ("XLNetModel", XLNET),
    "xlnet, eps": ("XLNetModel", XLNET | {"layer_norm_eps": 1e-4}),
}
INIT = ["mamba", "mamba, biases", "mamba, constant steps", "rwkv", "rwkv, tied", "xlnet"]
