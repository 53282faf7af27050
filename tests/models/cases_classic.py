"""Tiny checkpoints of OpenAI GPT, DistilBERT, ALBERT, T5, CTRL, XLM, OPT and ModernBERT."""

GPT = {"vocab_size": 97, "n_positions": 40, "n_embd": 36, "n_layer": 3, "n_head": 3}
DISTILBERT = {
    "vocab_size": 97,
    "max_position_embeddings": 40,
    "n_layers": 3,
    "n_heads": 3,
    "dim": 36,
    "hidden_dim": 52,
}
BASE = {
    "vocab_size": 97,
    "hidden_size": 36,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 52,
    "max_position_embeddings": 40,
}
ALBERT = BASE | {"embedding_size": 20}
T5 = {"vocab_size": 97, "d_model": 30, "d_kv": 8, "d_ff": 52, "num_layers": 2, "num_heads": 3}
GATED = T5 | {"feed_forward_proj": "gated-gelu"}
SILU = T5 | {"feed_forward_proj": "gated-silu", "initializer_factor": 0.5}
FEW = {"relative_attention_num_buckets": 10, "relative_attention_max_distance": 21}
CTRL = {"vocab_size": 97, "n_positions": 40, "n_embd": 36, "dff": 52, "n_layer": 3, "n_head": 3}
XLM = {"vocab_size": 97, "max_position_embeddings": 40, "emb_dim": 36, "n_layers": 3, "n_heads": 3}
LANGUAGES = XLM | {"n_langs": 4, "use_lang_emb": True, "lang_id": 2}
OPT = {
    "vocab_size": 97,
    "max_position_embeddings": 40,
    "hidden_size": 36,
    "ffn_dim": 52,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
}
OPT_350M = OPT | {"do_layer_norm_before": False, "word_embed_proj_dim": 20}
MODERN = BASE | {"pad_token_id": 0, "local_attention": 8}

CASES = {
    "openai-gpt": ("OpenAIGPTModel", GPT),
    "openai-gpt, prefix": ("OpenAIGPTLMHeadModel", GPT),
    "openai-gpt, two heads": ("OpenAIGPTDoubleHeadsModel", GPT, "OpenAIGPTDoubleHeadsModel"),
    "openai-gpt, nine heads": ("OpenAIGPTModel", GPT | {"n_head": 9}),
    "openai-gpt, silu": ("OpenAIGPTForSequenceClassification", GPT | {"afn": "silu"}),
    "openai-gpt, large eps": ("OpenAIGPTModel", GPT | {"layer_norm_epsilon": 0.3, "n_positions": 120}),
    "distilbert": ("DistilBertModel", DISTILBERT),
    "distilbert, prefix": ("DistilBertForMaskedLM", DISTILBERT),
    "distilbert, classifier": ("DistilBertForSequenceClassification", DISTILBERT | {"activation": "relu"}),
    "distilbert, sinusoids": ("DistilBertModel", DISTILBERT | {"sinusoidal_pos_embds": True, "pad_token_id": 5}),
    "distilbert, nine heads": ("DistilBertModel", DISTILBERT | {"n_heads": 9, "max_position_embeddings": 120}),
    "albert": ("AlbertModel", ALBERT),
    "albert, prefix": ("AlbertForMaskedLM", ALBERT),
    "albert, two heads": ("AlbertForPreTraining", ALBERT),
    "albert, exact gelu": ("AlbertForTokenClassification", ALBERT | {"hidden_act": "gelu"}),
    "albert, two groups": ("AlbertModel", ALBERT | {"num_hidden_layers": 5, "num_hidden_groups": 2}),
    "albert, three groups": ("AlbertModel", ALBERT | {"num_hidden_groups": 3, "num_attention_heads": 9}),
    "albert, wide embeddings": ("AlbertModel", ALBERT | {"embedding_size": 48, "layer_norm_eps": 0.3}),
    "t5": ("T5EncoderModel", T5, "T5EncoderModel"),
    "t5, decoder": ("T5ForConditionalGeneration", T5 | {"num_decoder_layers": 3}, "T5EncoderModel"),
    "t5, both": ("T5Model", T5 | {"tie_word_embeddings": False}, "T5EncoderModel"),
    "t5, classifier": ("T5ForTokenClassification", T5, "T5EncoderModel"),
    "t5, gated": ("T5EncoderModel", GATED | {"num_heads": 5, "d_kv": 6}, "T5EncoderModel"),
    "t5, gated silu": ("T5EncoderModel", SILU, "T5EncoderModel"),
    "t5, few buckets": ("T5EncoderModel", GATED | FEW, "T5EncoderModel"),
    "t5, old length": ("T5EncoderModel", T5 | {"n_positions": 30, "layer_norm_epsilon": 0.3}, "T5EncoderModel"),
    "mt5": ("MT5EncoderModel", T5, "MT5EncoderModel"),
    "mt5, decoder": ("MT5ForConditionalGeneration", T5, "MT5EncoderModel"),
    "umt5": ("UMT5EncoderModel", T5, "UMT5EncoderModel"),
    "umt5, decoder": ("UMT5ForConditionalGeneration", T5 | FEW, "UMT5EncoderModel"),
    "ctrl": ("CTRLModel", CTRL),
    "ctrl, prefix": ("CTRLLMHeadModel", CTRL),
    "ctrl, classifier": ("CTRLForSequenceClassification", CTRL | {"n_head": 9, "dff": 30}),
    "ctrl, positions": ("CTRLModel", CTRL | {"n_positions": 120, "n_embd": 42}),
    "xlm": ("XLMModel", XLM),
    "xlm, prefix": ("XLMWithLMHeadModel", XLM),
    "xlm, causal": ("XLMWithLMHeadModel", XLM | {"causal": True, "n_heads": 9, "embed_init_std": 0.3}),
    "xlm, languages": ("XLMWithLMHeadModel", LANGUAGES),
    "xlm, causal, languages": ("XLMModel", LANGUAGES | {"causal": True, "layer_norm_eps": 0.3}),
    "xlm, sinusoids": ("XLMForSequenceClassification", XLM | {"sinusoidal_embeddings": True, "pad_token_id": 5}),
    "xlm, relu": ("XLMForQuestionAnswering", XLM | {"gelu_activation": False, "max_position_embeddings": 120}),
    "opt": ("OPTModel", OPT),
    "opt, prefix": ("OPTForCausalLM", OPT),
    "opt, untied": ("OPTForCausalLM", OPT | {"tie_word_embeddings": False}),
    "opt, 350m": ("OPTForCausalLM", OPT_350M),
    "opt, 350m, classifier": ("OPTForSequenceClassification", OPT_350M),
    "opt, projected": ("OPTModel", OPT | {"word_embed_proj_dim": 20, "max_position_embeddings": 120}),
    "opt, post": ("OPTModel", OPT | {"do_layer_norm_before": False, "num_attention_heads": 9}),
    "opt, no final norm": ("OPTModel", OPT | {"_remove_final_layer_norm": True, "pad_token_id": 3}),
    "opt, no biases": ("OPTForCausalLM", OPT | {"enable_bias": False, "activation_function": "gelu"}),
    "opt, plain norms": ("OPTModel", OPT | {"layer_norm_elementwise_affine": False}),
    "opt, plain norms, 350m": ("OPTModel", OPT_350M | {"layer_norm_elementwise_affine": False}),
    "modernbert": ("ModernBertModel", MODERN | {"num_hidden_layers": 4}),
    "modernbert, prefix": ("ModernBertForMaskedLM", MODERN | {"num_hidden_layers": 4}),
    "modernbert, biases": ("ModernBertModel", MODERN | {"norm_bias": True, "attention_bias": True, "mlp_bias": True}),
    "modernbert, odd window": (
        "ModernBertForSequenceClassification",
        MODERN | {"local_attention": 3, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    ),
    "modernbert, full": ("ModernBertModel", MODERN | {"layer_types": ["full_attention"] * 3, "norm_eps": 0.3}),
    "modernbert, rotations": (
        "ModernBertModel",
        MODERN
        | {
            "max_position_embeddings": 120,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 3.0, "rope_theta": 500.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
            },
        },
    ),
}
SMALL = {  # weights as freshly drawn ones: here a wrong eps shows
    "openai-gpt": ("OpenAIGPTModel", GPT),
    "distilbert": ("DistilBertModel", DISTILBERT),
    "albert": ("AlbertModel", ALBERT),
    "t5": ("T5EncoderModel", T5, "T5EncoderModel"),
    "umt5": ("UMT5EncoderModel", T5 | {"layer_norm_epsilon": 1e-3}, "UMT5EncoderModel"),
    "ctrl": ("CTRLModel", CTRL),
    "xlm": ("XLMModel", XLM | {"layer_norm_eps": 1e-4}),
    "opt": ("OPTModel", OPT),
    "opt, 350m": ("OPTModel", OPT_350M),
    "modernbert": ("ModernBertModel", MODERN),
}
INIT = [
    "openai-gpt",
    "distilbert",
    "distilbert, sinusoids",
    "albert",
    "albert, two groups",
    "t5",
    "t5, gated silu",
    "umt5",
    "ctrl",
    "xlm, causal",
    "xlm, sinusoids",
    "opt",
    "opt, 350m",
    "modernbert",
    "modernbert, biases",
]
"""Cases whose fresh draw is compared with torch's."""
