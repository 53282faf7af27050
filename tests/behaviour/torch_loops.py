"""What torch makes of a text, a loop at a time: sliding windows, greedy words, the training of a decoder."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import cross_entropy


def sliding_bits(model, ids: list[int], window: int, stride: int, start: list[int]) -> list[float]:
    """-log2 p of every token but the first, or of all after start tokens, each in the first window that reaches it."""
    found: list[float] = []
    room, done = window - len(start), 0
    for begin in range(0, len(ids), stride):
        end = min(begin + room, len(ids))
        read = torch.tensor([*start, *ids[begin:end]])
        with torch.no_grad():
            logits = model(read[None]).logits[0].double()
        bits = (cross_entropy(logits[:-1], read[1:], reduction="none") / np.log(2)).tolist()
        found += bits[len(bits) - min(end - done, len(bits)) :]
        done = end
        if end == len(ids):
            return found
    raise AssertionError("the last window ends with the text")


def greedy(model, context: list[int], count: int) -> list[int]:
    """So many tokens, the likeliest one at a time."""
    for _ in range(count):
        with torch.no_grad():
            context = [*context, int(model(torch.tensor([context])).logits[0, -1].argmax())]
    return context[len(context) - count :]


class Decoder:
    """A linear decoder, trained as in the 2021 pipeline on features [block, token, feature] and their tokens."""

    def __init__(self, weight: np.ndarray, bias: np.ndarray, rate: float, steps: int) -> None:
        self.linear = torch.nn.Linear(*weight.shape)
        with torch.no_grad():
            self.linear.weight.copy_(torch.tensor(weight.T))
            self.linear.bias.copy_(torch.tensor(bias))
        self.optimiser = torch.optim.AdamW(self.linear.parameters(), lr=rate, eps=1e-8, weight_decay=0.0)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, lambda step: max(0.0, 1 - step / steps))

    def loss(self, features: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Mean over the tokens that have a predecessor."""
        logits = self.linear(features[:, :-1])
        return cross_entropy(logits.reshape(-1, logits.shape[-1]), tokens[:, 1:].reshape(-1))

    def epoch(self, features: torch.Tensor, tokens: torch.Tensor, order: np.ndarray) -> float:
        """One pass in batches of 4; the mean loss over blocks as they came."""
        total = 0.0
        for begin in range(0, len(order), 4):
            batch = order[begin : begin + 4]
            self.optimiser.zero_grad()
            loss = self.loss(features[batch], tokens[batch])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.linear.parameters(), 1.0)
            self.optimiser.step()
            self.schedule.step()
            total += float(loss.detach()) * len(batch)
        return total / len(order)
