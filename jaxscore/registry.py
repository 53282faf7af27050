"""The short names of models that people type, and where their checkpoints live."""

from __future__ import annotations

MINI = "mini"
"""The model that comes with the package."""

MODELS: dict[str, str] = {
    "gpt2": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "gpt2-large": "openai-community/gpt2-large",
    "gpt2-xl": "openai-community/gpt2-xl",
    "distilgpt2": "distilbert/distilgpt2",
    "bert-base-uncased": "google-bert/bert-base-uncased",
    "bert-base-cased": "google-bert/bert-base-cased",
    "bert-base-multilingual-cased": "google-bert/bert-base-multilingual-cased",
    "bert-large-uncased": "google-bert/bert-large-uncased",
    "bert-large-uncased-whole-word-masking": "google-bert/bert-large-uncased-whole-word-masking",
    "all-MiniLM-L6-v2": "sentence-transformers/all-MiniLM-L6-v2",
    "roberta-base": "FacebookAI/roberta-base",
    "roberta-large": "FacebookAI/roberta-large",
    "distilroberta-base": "distilbert/distilroberta-base",
    "xlm-roberta-base": "FacebookAI/xlm-roberta-base",
    "xlm-roberta-large": "FacebookAI/xlm-roberta-large",
    "camembert-base": "almanach/camembert-base",
    "electra-small-discriminator": "google/electra-small-discriminator",
    "electra-base-discriminator": "google/electra-base-discriminator",
}
"""Name -> hub id. Any other hub id (`organisation/name`, with `@revision`) and any local folder works as well."""
