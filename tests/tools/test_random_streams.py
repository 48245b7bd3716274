"""No two things are drawn from one stream, and nothing is drawn from a stream without a name."""

import ast
import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from curse_of_memory.tools import random_streams
from curse_of_memory.tools.random_streams import SAMPLES, STREAMS, sample_seed, sample_stream, stream

PACKAGE = Path(random_streams.__file__).parents[1]
# zeros at the end, words that numpy would split a large number into, and their neighbours
NUMBERS = [(), (0,), (1,), (2**31,), (0, 0), (1, 0), (0, 1), (1, 0, 0)]
SEEDS = [0, 1, 2, 5, 2**32 - 1]
LARGE = [2**32, 2**32 + 1, 5 * 2**32, 2**62]


def first_draw(generator):
    return tuple(generator.integers(2**63, size=2).tolist())


def test_every_name_has_a_number_of_its_own():
    for registry in (STREAMS, SAMPLES):
        assert len(set(registry.values())) == len(registry)
        assert all(isinstance(number, int) and number > 0 for number in registry.values())
    assert not set(STREAMS) & set(SAMPLES)


def test_names_seeds_and_indices_are_all_told_apart():
    draws = {}
    for name, seed, index in itertools.product(STREAMS, SEEDS + LARGE, NUMBERS):
        draws[name, seed, index] = first_draw(stream(name, seed, *index))
    # numpy fills up with zeros: (3, 1) and (3, 1, 0) are one seed of a sample, and one name uses one length
    for name, seed, index in itertools.product(SAMPLES, SEEDS, [(0,), (1,), (2**31,)]):
        draws[name, seed, index] = first_draw(sample_stream(name, seed, *index))
    for seed in SEEDS:
        draws["a public seed", seed, ()] = first_draw(np.random.default_rng(seed))
    assert len(set(draws.values())) == len(draws)


def test_a_stream_is_the_same_again_and_a_sample_is_anybody_s():
    assert first_draw(stream("held out sequences", 3, 4)) == first_draw(stream("held out sequences", 3, 4))
    # the words are written down here by hand: seed 3 and index 4, low word first, and the spawn key
    sequence = np.random.SeedSequence([3, 0, 4, 0], spawn_key=(0x6D656D01, 1))
    assert first_draw(stream("held out sequences", 3, 4)) == first_draw(np.random.default_rng(sequence))
    assert sample_seed("training", 3, 4) == (3, 2, 4)
    assert first_draw(sample_stream("training", 3, 4)) == first_draw(np.random.default_rng((3, 2, 4)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stream("held out", 0), "name must be one of .*did you mean 'held out sequences'"),
        (lambda: stream("training", 0), "name must be one of"),
        (lambda: stream("held out sequences", -1), "seed must not be negative"),
        (lambda: stream("held out sequences", True), "seed must be a whole number"),
        (lambda: stream("held out sequences", 0, 0.5), "index must be a whole number"),
        (lambda: stream("held out sequences", 2**63), "seed must be below"),
        (lambda: sample_seed("training", 2**32, 1), r"seed must be below 2\^32"),
        (lambda: sample_seed("directions", 0), "name must be one of"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


# Generators that are made elsewhere, and how many: each by a public seed, which is documented, or of a figure
# that draws one thing from its seed alone.
ALLOWED = {
    "tasks/sampling.py": 1,  # batches and data of tasks, by the seed that sample() is given
    "training/data_sets.py": 1,  # the named order of a loader, whose own generator is given it
    "tools/devices.py": 2,  # what torch draws by the seed of a model or of a loader, on a CPU and on CUDA
    "tasks/digits.py": 2,  # the one split and order of images that stand in for others, which has no seed
    "tasks/fitzhugh_nagumo.py": 1,  # the stream of the public code, by its seed
    "tasks/public_stream.py": 1,  # another stream of the public code, by its seed
    "tasks/heart_windows.py": 1,  # the one division of the public code
    "tasks/made_abstracts.py": 2,  # a language, and sentences of it
    "tasks/eigenworms.py": 2,  # the one division of series into parts, which has no seed
    # what stands in for real data, which has no seed
    "tasks/crawling.py": 1,
    "tasks/heart_pulses.py": 1,
    "tasks/synthetic_words.py": 1,
    "tasks/labelled_streams/light_world.py": 1,
    "tasks/grammar.py": 1,  # the sentences of a text, by its seed
    # weights, by the seed of a model or of a task that has some
    "theory/plateau/gradient_flow.py": 1,
    "theory/exponential_sums/samples.py": 1,  # a choice of lags inside an algorithm, which has no seed
    # random models, starts and noise of single figures
    "papers/audit/perturbation.py": 1,
    "papers/audit/_public_probes.py": 2,
    "papers/inverse_approximation/non_decaying_memory.py": 1,
    "papers/audit/what_is_tested.py": 2,
    "papers/expire_span/look_ahead.py": 2,
    "papers/expire_span/efficiency.py": 2,
    "papers/expire_span/eviction.py": 1,
    "papers/expire_span/schematic.py": 1,
    "papers/expire_span/_corridor.py": 2,
    "papers/expire_span/_layer.py": 2,
    "papers/expire_span/price_of_memory.py": 2,
    "papers/lem/_theorems.py": 4,
    "papers/lem/hyperparameters.py": 1,
    "papers/lem/cell.py": 1,
    "papers/lem/training_time.py": 1,
    "papers/tour/measure_your_model.py": 1,
    "papers/ssm_universality/pointwise.py": 1,
    "papers/ssm_universality/volterra.py": 1,
    "papers/stable_ssm/learning_rates_lf.py": 1,
    "papers/survey/architectures.py": 1,
}
MAKERS = {
    "default_rng",
    "manual_seed",
    "SeedSequence",
    "RandomState",
    "PCG64",
    "Philox",
    "MT19937",
    "seed_all",
}


def makers(text):
    """Return how many calls in a program make or seed a generator."""
    calls = (node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    return sum((getattr(call, "attr", None) or getattr(call, "id", None)) in MAKERS for call in calls)


def test_the_scan_sees_what_it_should():
    assert makers("np.random.default_rng(3); default_rng(); torch.manual_seed(0)") == 3
    assert makers('"""default_rng(3)"""; stream("a", 3)') == 0


def test_nothing_is_drawn_from_a_stream_without_a_name():
    found = Counter()
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if path.name != "random_streams.py":
            found[name] += makers(path.read_text(encoding="utf-8"))
    assert +found <= Counter(ALLOWED)


def test_every_name_is_used():
    text = "".join(
        path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py") if path.name != "random_streams.py"
    )
    assert [name for name in [*STREAMS, *SAMPLES] if f'"{name}"' not in text] == []
