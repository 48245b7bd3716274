"""N-grams against counting by hand, and that they are distributions."""

from collections import Counter

import numpy as np
import pytest
import torch

from curse_of_memory.experiments.ngrams import ngram_losses


def probability(text, context, word, vocabulary):
    """The recursion as it is written, by counting."""
    if context is None:
        return 1 / vocabulary
    k = len(context)
    after = Counter(text[i + k] for i in range(len(text) - k) if tuple(text[i : i + k]) == context)
    shorter = probability(text, context[1:] if k else None, word, vocabulary)
    if not after:
        return shorter
    return (after[word] + len(after) * shorter) / (after.total() + len(after))


def test_they_are_those_of_the_recursion():
    random = np.random.default_rng(0)
    text, other = random.integers(0, 4, 200).tolist(), random.integers(0, 5, 60).tolist()
    losses = ngram_losses(torch.tensor(text), torch.tensor(other), 5, 4)
    for k, loss in enumerate(losses):
        each = [probability(text, tuple(other[max(0, i - k) : i]), word, 5) for i, word in enumerate(other)]
        np.testing.assert_allclose(loss, -np.log(each).mean(), rtol=1e-12)
    total = sum(probability(text, (1, 2, 3), word, 5) for word in range(5))
    np.testing.assert_allclose(total, 1, rtol=1e-12)


def test_bad_numbers_are_refused():
    with pytest.raises(ValueError, match="order must be at least 1"):
        ngram_losses(torch.zeros(3), torch.zeros(3), 2, 0)
    with pytest.raises(ValueError, match="vocabulary must be at least 1"):
        ngram_losses(torch.zeros(3), torch.zeros(3), 0, 1)
