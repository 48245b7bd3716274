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


def naive_losses(text, other, vocabulary, order):
    for k in range(order):
        each = [
            probability(text, tuple(other[i - k : i]) if i >= k else tuple(other[:i]), word, vocabulary)
            for i, word in enumerate(other)
        ]
        yield -np.log(each).mean()


@pytest.mark.parametrize("text", [[0, 1], [1, 1, 0], [0, 0, 1, 2], [2, 0, 1, 0], [1], [2, 2, 2]])
def test_a_context_with_which_the_training_text_ends_tells_nothing(text):
    """It is in the text, but nothing follows it there: its next tokens are those of the shorter context."""
    others = [[a, b, c] for a in range(3) for b in range(3) for c in range(3)]
    for other in others:
        losses = ngram_losses(torch.tensor(text), torch.tensor(other), 3, 4)
        np.testing.assert_allclose(losses, list(naive_losses(text, other, 3, 4)), rtol=1e-12)


TOKENS = torch.tensor([0, 1, 2, 1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": 0}, "order must be at least 1"),
        ({"vocabulary": 0}, "vocabulary must be at least 1"),
        ({"vocabulary": 2**62}, f"vocabulary must be below {2**63 // 5}, got {2**62}"),
        ({"training": TOKENS + 1}, "training must be tokens from 0 to 2, got 3"),
        ({"unseen": TOKENS + 5}, "unseen must be tokens from 0 to 2, got 7"),
        ({"unseen": TOKENS - 1}, "unseen must be tokens from 0, got -1"),
        ({"training": TOKENS[:0]}, r"training must be one token or more, \(tokens,\), got \(0,\)"),
        ({"unseen": TOKENS[None]}, r"unseen must be one token or more, \(tokens,\), got \(1, 4\)"),
        ({"training": TOKENS.double()}, "training must be whole numbers, got float64"),
        ({"training": [0, 1]}, "training must be a tensor of tokens, got list"),
    ],
)
def test_bad_input_is_refused(change, message):
    given = {"training": TOKENS, "unseen": TOKENS, "vocabulary": 3, "order": 2} | change
    with pytest.raises((ValueError, TypeError), match=message):
        ngram_losses(**given)
