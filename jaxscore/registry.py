"""The short names of models that people type, and where their checkpoints live."""

from __future__ import annotations

MINI = "mini"
"""The model that comes with the package."""

MODELS: dict[str, str] = {
    # openai-gpt
    "openai-gpt": "openai-community/openai-gpt",
    "openaigpt": "openai-community/openai-gpt",  # its name in the 2021 pool
    # gpt2
    "gpt2": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "gpt2-large": "openai-community/gpt2-large",
    "gpt2-xl": "openai-community/gpt2-xl",
    "distilgpt2": "distilbert/distilgpt2",
    # bert
    "bert-base-uncased": "google-bert/bert-base-uncased",
    "bert-base-cased": "google-bert/bert-base-cased",
    "bert-base-multilingual-uncased": "google-bert/bert-base-multilingual-uncased",
    "bert-base-multilingual-cased": "google-bert/bert-base-multilingual-cased",
    "bert-large-uncased": "google-bert/bert-large-uncased",
    "bert-large-cased": "google-bert/bert-large-cased",
    "bert-large-uncased-whole-word-masking": "google-bert/bert-large-uncased-whole-word-masking",
    "bert-large-cased-whole-word-masking": "google-bert/bert-large-cased-whole-word-masking",
    "bert-tiny": "google/bert_uncased_L-2_H-128_A-2",
    "bert-mini": "google/bert_uncased_L-4_H-256_A-4",
    "bert-small": "google/bert_uncased_L-4_H-512_A-8",
    "bert-medium": "google/bert_uncased_L-8_H-512_A-8",
    "all-MiniLM-L6-v2": "sentence-transformers/all-MiniLM-L6-v2",
    "all-MiniLM-L12-v2": "sentence-transformers/all-MiniLM-L12-v2",
    "paraphrase-multilingual-MiniLM-L12-v2": "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
    "MiniLM-L6-H384-uncased": "nreimers/MiniLM-L6-H384-uncased",
    "MiniLM-L12-H384-uncased": "microsoft/MiniLM-L12-H384-uncased",
    "ModernBERT-base": "answerdotai/ModernBERT-base",
    "ModernBERT-large": "answerdotai/ModernBERT-large",
    # roberta
    "roberta-base": "FacebookAI/roberta-base",
    "roberta-large": "FacebookAI/roberta-large",
    "distilroberta-base": "distilbert/distilroberta-base",
    # xlm-roberta
    "xlm-roberta-base": "FacebookAI/xlm-roberta-base",
    "xlm-roberta-large": "FacebookAI/xlm-roberta-large",
    # camembert
    "camembert-base": "almanach/camembert-base",
    "camembert-large": "almanach/camembert-large",
    # electra
    "electra-small-discriminator": "google/electra-small-discriminator",
    "electra-base-discriminator": "google/electra-base-discriminator",
    "electra-large-discriminator": "google/electra-large-discriminator",
    "electra-small-generator": "google/electra-small-generator",
    "electra-base-generator": "google/electra-base-generator",
    "electra-large-generator": "google/electra-large-generator",
    # distilbert
    "distilbert-base-uncased": "distilbert/distilbert-base-uncased",
    "distilbert-base-cased": "distilbert/distilbert-base-cased",
    "distilbert-base-multilingual-cased": "distilbert/distilbert-base-multilingual-cased",
    # albert
    "albert-base-v1": "albert/albert-base-v1",
    "albert-base-v2": "albert/albert-base-v2",
    "albert-large-v1": "albert/albert-large-v1",
    "albert-large-v2": "albert/albert-large-v2",
    "albert-xlarge-v1": "albert/albert-xlarge-v1",
    "albert-xlarge-v2": "albert/albert-xlarge-v2",
    "albert-xxlarge-v1": "albert/albert-xxlarge-v1",
    "albert-xxlarge-v2": "albert/albert-xxlarge-v2",
    # t5 (its encoder)
    "t5-small": "google-t5/t5-small",
    "t5-base": "google-t5/t5-base",
    "t5-large": "google-t5/t5-large",
    "t5-3b": "google-t5/t5-3b",
    "t5-11b": "google-t5/t5-11b",
    "t5-v1_1-small": "google/t5-v1_1-small",
    "t5-v1_1-base": "google/t5-v1_1-base",
    "t5-v1_1-large": "google/t5-v1_1-large",
    "t5-v1_1-xl": "google/t5-v1_1-xl",
    "t5-v1_1-xxl": "google/t5-v1_1-xxl",
    "flan-t5-small": "google/flan-t5-small",
    "flan-t5-base": "google/flan-t5-base",
    "flan-t5-large": "google/flan-t5-large",
    "flan-t5-xl": "google/flan-t5-xl",
    "flan-t5-xxl": "google/flan-t5-xxl",
    # mt5 (its encoder)
    "mt5-small": "google/mt5-small",
    "mt5-base": "google/mt5-base",
    "mt5-large": "google/mt5-large",
    "mt5-xl": "google/mt5-xl",
    "mt5-xxl": "google/mt5-xxl",
    # ctrl
    "ctrl": "Salesforce/ctrl",
    # xlm
    "xlm-mlm-en-2048": "FacebookAI/xlm-mlm-en-2048",
    "xlm-mlm-17-1280": "FacebookAI/xlm-mlm-17-1280",
    "xlm-mlm-100-1280": "FacebookAI/xlm-mlm-100-1280",
    "xlm-mlm-ende-1024": "FacebookAI/xlm-mlm-ende-1024",
    "xlm-mlm-enfr-1024": "FacebookAI/xlm-mlm-enfr-1024",
    "xlm-mlm-enro-1024": "FacebookAI/xlm-mlm-enro-1024",
    "xlm-mlm-xnli15-1024": "FacebookAI/xlm-mlm-xnli15-1024",
    "xlm-mlm-tlm-xnli15-1024": "FacebookAI/xlm-mlm-tlm-xnli15-1024",
    "xlm-clm-ende-1024": "FacebookAI/xlm-clm-ende-1024",
    "xlm-clm-enfr-1024": "FacebookAI/xlm-clm-enfr-1024",
    # xlnet
    "xlnet-base-cased": "xlnet/xlnet-base-cased",
    "xlnet-large-cased": "xlnet/xlnet-large-cased",
    # transfo-xl
    "transfo-xl-wt103": "transfo-xl/transfo-xl-wt103",
    # opt
    "opt-125m": "facebook/opt-125m",
    "opt-350m": "facebook/opt-350m",
    "opt-1.3b": "facebook/opt-1.3b",
    "opt-2.7b": "facebook/opt-2.7b",
    "opt-6.7b": "facebook/opt-6.7b",
    "opt-13b": "facebook/opt-13b",
    "opt-30b": "facebook/opt-30b",
    "opt-66b": "facebook/opt-66b",
    # gpt_neo
    "gpt-neo-125m": "EleutherAI/gpt-neo-125m",
    "gpt-neo-1.3B": "EleutherAI/gpt-neo-1.3B",
    "gpt-neo-2.7B": "EleutherAI/gpt-neo-2.7B",
    # gptj
    "gpt-j-6b": "EleutherAI/gpt-j-6b",
    # gpt_neox
    "pythia-14m": "EleutherAI/pythia-14m",
    "pythia-31m": "EleutherAI/pythia-31m",
    "pythia-70m": "EleutherAI/pythia-70m",
    "pythia-160m": "EleutherAI/pythia-160m",
    "pythia-410m": "EleutherAI/pythia-410m",
    "pythia-1b": "EleutherAI/pythia-1b",
    "pythia-1.4b": "EleutherAI/pythia-1.4b",
    "pythia-2.8b": "EleutherAI/pythia-2.8b",
    "pythia-6.9b": "EleutherAI/pythia-6.9b",
    "pythia-12b": "EleutherAI/pythia-12b",
    "pythia-70m-deduped": "EleutherAI/pythia-70m-deduped",
    "pythia-160m-deduped": "EleutherAI/pythia-160m-deduped",
    "pythia-410m-deduped": "EleutherAI/pythia-410m-deduped",
    "pythia-1b-deduped": "EleutherAI/pythia-1b-deduped",
    "pythia-1.4b-deduped": "EleutherAI/pythia-1.4b-deduped",
    "pythia-2.8b-deduped": "EleutherAI/pythia-2.8b-deduped",
    "pythia-6.9b-deduped": "EleutherAI/pythia-6.9b-deduped",
    "pythia-12b-deduped": "EleutherAI/pythia-12b-deduped",
    "gpt-neox-20b": "EleutherAI/gpt-neox-20b",
    # bloom
    "bloom-560m": "bigscience/bloom-560m",
    "bloom-1b1": "bigscience/bloom-1b1",
    "bloom-1b7": "bigscience/bloom-1b7",
    "bloom-3b": "bigscience/bloom-3b",
    "bloom-7b1": "bigscience/bloom-7b1",
    # falcon
    "falcon-rw-1b": "tiiuae/falcon-rw-1b",
    "falcon-rw-7b": "tiiuae/falcon-rw-7b",
    "falcon-7b": "tiiuae/falcon-7b",
    "falcon-40b": "tiiuae/falcon-40b",
    # mpt
    "mpt-7b": "mosaicml/mpt-7b",
    "mpt-30b": "mosaicml/mpt-30b",
    # llama
    "llama-7b": "huggyllama/llama-7b",
    "llama-13b": "huggyllama/llama-13b",
    "llama-30b": "huggyllama/llama-30b",
    "llama-33b": "huggyllama/llama-30b",  # 32.5 billion parameters: both names are in use
    "llama-65b": "huggyllama/llama-65b",
    "llama-2-7b": "meta-llama/Llama-2-7b-hf",
    "llama-2-13b": "meta-llama/Llama-2-13b-hf",
    "llama-2-70b": "meta-llama/Llama-2-70b-hf",
    "llama-3-8b": "meta-llama/Meta-Llama-3-8B",
    "llama-3-70b": "meta-llama/Meta-Llama-3-70B",
    "llama-3.1-8b": "meta-llama/Llama-3.1-8B",
    "llama-3.1-70b": "meta-llama/Llama-3.1-70B",
    "llama-3.2-1b": "meta-llama/Llama-3.2-1B",
    "llama-3.2-3b": "meta-llama/Llama-3.2-3B",
    "llama-3.3-70b-instruct": "meta-llama/Llama-3.3-70B-Instruct",  # there is no base model of 3.3
    "tinyllama-1.1b": "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    "tinyllama-v1.1": "TinyLlama/TinyLlama_v1.1",
    "smollm-135m": "HuggingFaceTB/SmolLM-135M",
    "smollm-360m": "HuggingFaceTB/SmolLM-360M",
    "smollm-1.7b": "HuggingFaceTB/SmolLM-1.7B",
    "smollm2-135m": "HuggingFaceTB/SmolLM2-135M",
    "smollm2-360m": "HuggingFaceTB/SmolLM2-360M",
    "smollm2-1.7b": "HuggingFaceTB/SmolLM2-1.7B",
    "falcon3-1b": "tiiuae/Falcon3-1B-Base",
    "falcon3-3b": "tiiuae/Falcon3-3B-Base",
    "falcon3-7b": "tiiuae/Falcon3-7B-Base",
    "falcon3-10b": "tiiuae/Falcon3-10B-Base",
    # mistral
    "mistral-7b": "mistralai/Mistral-7B-v0.1",
    "mistral-7b-v0.3": "mistralai/Mistral-7B-v0.3",
    "mistral-nemo-12b": "mistralai/Mistral-Nemo-Base-2407",
    "mistral-small-24b": "mistralai/Mistral-Small-24B-Base-2501",
    # qwen2
    "qwen2-0.5b": "Qwen/Qwen2-0.5B",
    "qwen2-1.5b": "Qwen/Qwen2-1.5B",
    "qwen2-7b": "Qwen/Qwen2-7B",
    "qwen2.5-0.5b": "Qwen/Qwen2.5-0.5B",
    "qwen2.5-1.5b": "Qwen/Qwen2.5-1.5B",
    "qwen2.5-3b": "Qwen/Qwen2.5-3B",
    "qwen2.5-7b": "Qwen/Qwen2.5-7B",
    "qwen2.5-14b": "Qwen/Qwen2.5-14B",
    "qwen2.5-32b": "Qwen/Qwen2.5-32B",
    "qwen2.5-72b": "Qwen/Qwen2.5-72B",
    # qwen3
    "qwen3-0.6b": "Qwen/Qwen3-0.6B",
    "qwen3-1.7b": "Qwen/Qwen3-1.7B",
    "qwen3-4b": "Qwen/Qwen3-4B",
    "qwen3-8b": "Qwen/Qwen3-8B",
    "qwen3-14b": "Qwen/Qwen3-14B",
    "qwen3-32b": "Qwen/Qwen3-32B",
    "qwen3-0.6b-base": "Qwen/Qwen3-0.6B-Base",
    "qwen3-1.7b-base": "Qwen/Qwen3-1.7B-Base",
    "qwen3-4b-base": "Qwen/Qwen3-4B-Base",
    "qwen3-8b-base": "Qwen/Qwen3-8B-Base",
    "qwen3-14b-base": "Qwen/Qwen3-14B-Base",
    # phi
    "phi-1": "microsoft/phi-1",
    "phi-1.5": "microsoft/phi-1_5",
    "phi-2": "microsoft/phi-2",
    # phi3
    "phi-3-mini": "microsoft/Phi-3-mini-4k-instruct",
    "phi-3-medium": "microsoft/Phi-3-medium-4k-instruct",
    "phi-4": "microsoft/phi-4",
    # olmo
    "olmo-1b": "allenai/OLMo-1B-hf",
    "olmo-7b": "allenai/OLMo-7B-hf",
    "olmo-1b-0724": "allenai/OLMo-1B-0724-hf",
    "olmo-7b-0724": "allenai/OLMo-7B-0724-hf",
    # olmo2
    "olmo-2-1b": "allenai/OLMo-2-0425-1B",
    "olmo-2-7b": "allenai/OLMo-2-1124-7B",
    "olmo-2-13b": "allenai/OLMo-2-1124-13B",
    "olmo-2-32b": "allenai/OLMo-2-0325-32B",
    # gemma
    "gemma-2b": "google/gemma-2b",
    "gemma-7b": "google/gemma-7b",
    # gemma2
    "gemma-2-2b": "google/gemma-2-2b",
    "gemma-2-9b": "google/gemma-2-9b",
    "gemma-2-27b": "google/gemma-2-27b",
    # gemma3_text
    "gemma-3-270m": "google/gemma-3-270m",
    "gemma-3-1b": "google/gemma-3-1b-pt",
    # mamba
    "mamba-130m": "state-spaces/mamba-130m-hf",
    "mamba-370m": "state-spaces/mamba-370m-hf",
    "mamba-790m": "state-spaces/mamba-790m-hf",
    "mamba-1.4b": "state-spaces/mamba-1.4b-hf",
    "mamba-2.8b": "state-spaces/mamba-2.8b-hf",
    # rwkv
    "rwkv-4-169m": "RWKV/rwkv-4-169m-pile",
    "rwkv-4-430m": "RWKV/rwkv-4-430m-pile",
    "rwkv-4-1b5": "RWKV/rwkv-4-1b5-pile",
    "rwkv-4-3b": "RWKV/rwkv-4-3b-pile",
    "rwkv-4-7b": "RWKV/rwkv-4-7b-pile",
    "rwkv-4-14b": "RWKV/rwkv-4-14b-pile",
}
"""Name -> hub id, by `model_type`. Any other hub id (`organisation/name`, with `@revision`) and any folder works."""

_CONTAINER = "a recurrent network inside a container image (benlipkin/rnng), not a checkpoint on the hub"
_LOCALIZER = "a choice of units in {0} by a functional localizer, not a model of its own; score {0}"
_NO_FAMILY = "its architecture ({}) is none of those that jaxscore computes"

NOT_COVERED: dict[str, str] = {
    # the 2021 pool
    "lm_1b": "an LSTM over characters, published as a TensorFlow graph and not as a checkpoint on the hub",
    "skip-thoughts": "a recurrent sentence encoder, published as Theano arrays and not as a checkpoint on the hub",
    "ETM": "the word vectors of a topic model, from a file of the 2021 pool and not from the hub",
    "transformer": "the encoder of an OpenNMT translation model (averaged-10-epoch.pt), not a checkpoint on the hub",
    "Pereira2018-non_language": "it predicts voxels from other voxels, not from text",
    # the platform
    "lm1b": "an LSTM over characters, published as a TensorFlow graph and not as a checkpoint on the hub",
    "earley-parser-minivocab": "a parser with a grammar, without hidden states",
    "rnn-lm-ptb": _CONTAINER,
    "rnn-slm-ptb": _CONTAINER,
    "rnn-tdg-ptb": _CONTAINER,
    "rnn-slm-ptboanc": _CONTAINER,
    "rnn-tdg-ptboanc": _CONTAINER,
    "rnn-slm-ptboanc-1024": _CONTAINER,
    "rnn-tdg-ptboanc-1024": _CONTAINER,
    "suma": "an untrained network that exists as code of the platform, not as a checkpoint on the hub",
    "qwen3-0.6b-loc-10": _LOCALIZER.format("qwen3-0.6b"),
    "qwen3-1.7b-loc-10": _LOCALIZER.format("qwen3-1.7b"),
    "qwen3-4b-loc-10": _LOCALIZER.format("qwen3-4b"),
    "qwen3-8b-loc-10": _LOCALIZER.format("qwen3-8b"),
    "qwen3-14b-loc-10": _LOCALIZER.format("qwen3-14b"),
    "qwen3-32b-loc-10": _LOCALIZER.format("qwen3-32b"),
    # what else people type
    "deberta-v3-base": _NO_FAMILY.format("deberta-v2"),
    "deberta-v3-large": _NO_FAMILY.format("deberta-v2"),
}
"""Names that people know from the 2021 pool or the platform and that jaxscore has no checkpoint or code for -> why."""
