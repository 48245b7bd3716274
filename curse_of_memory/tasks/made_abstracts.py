"""The stand-in for abstracts and titles: a made language, in which a title can be told from its abstract.

Words are two characters each; nouns, modifiers and verbs are different ones. An abstract opens with its
topics, which are nouns, some of them after a modifier, some joined by a link; sentences follow, of these
nouns and of others. The title is the opening without its modifiers, and an ending that stands in no
abstract::

    abstract    为了 n₁ m n₂ 的 n₃ m n₄ , n₂ v m n₅ . m n₁ v n₃ . …
    title       n₁ n₂ 的 n₃ n₄ 研究

So all of a title but its ending has to be copied, and the ending is drawn: of a title no model has a smaller
loss than :func:`entropy_of_ending`.
"""

from itertools import permutations

import numpy as np

from curse_of_memory.tasks.pair_files import Pair
from curse_of_memory.tools import checks

__all__ = ["CHARACTERS", "ENDINGS", "LINKS", "entropy_of_ending", "pairs"]

CHARACTERS = (
    "天地水火山石田土木金日月星云风雨雪电江河海湖春夏秋冬东西南北花草树叶果米豆茶"
    "鱼鸟牛羊马虎龙蛇城村路桥车船门窗桌灯书纸笔墨琴棋画布衣帽刀弓钟鼓手足目耳口心头身"
)
"""The characters of which words are made."""

LINKS = ("的", "与", "对", "在")
"""What may stand between two topics."""

ENDINGS = {"研究": 0.5, "分析": 0.3, "应用": 0.2}
"""What may stand at the end of a title, and how often it does."""

NOUNS, MODIFIERS, VERBS = 300, 80, 80  # how many words there are of each kind
LEAST_TOPICS, MORE_TOPICS = 3, 9  # of a title; of the latter each is there or not
LINKED, MODIFIED, ON_TOPIC = 0.3, 0.4, 0.5  # probabilities, of each topic and of each noun of a sentence
SENTENCES = (3, 0.13)  # a negative binomial number: 20 on average, few and many both often


def _words() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return nouns, modifiers and verbs, the more frequent first."""
    possible = np.array(["".join(two) for two in permutations(CHARACTERS, 2)])
    drawn = np.random.default_rng(0).choice(possible, NOUNS + MODIFIERS + VERBS, replace=False)
    nouns, modifiers, verbs = np.split(drawn, [NOUNS, NOUNS + MODIFIERS])
    return nouns, modifiers, verbs


def pairs(count: int, *, seed: int) -> list[Pair]:
    """Return `count` abstracts with their titles, no two alike.

    Parameters
    ----------
    count : int
        How many, of some 210 and 19 characters.
    seed : int
        Names the draws.

    Examples
    --------
    >>> (pair,) = pairs(1, seed=0)
    >>> pair.abstract[:2], pair.title[-2:] in ENDINGS
    ('为了', True)
    """
    checks.positive_int("count", count)
    random = np.random.default_rng(checks.seed("seed", seed))
    words, made = _words(), dict[str, Pair]()
    while len(made) < count:
        pair = _pair(random, *words)
        made.setdefault(pair.title, pair)
    return list(made.values())


def entropy_of_ending() -> float:
    """Return the entropy of the ending of a title, in nats: the smallest loss of a title in all."""
    share = np.array(list(ENDINGS.values()))
    return float(-share @ np.log(share))


def _by_rank(count: int) -> np.ndarray:
    """Return the probabilities of words by their rank."""
    weights = 1 / (np.arange(count) + 2)
    return weights / weights.sum()


def _pair(random: np.random.Generator, nouns: np.ndarray, modifiers: np.ndarray, verbs: np.ndarray) -> Pair:
    count = LEAST_TOPICS + random.binomial(MORE_TOPICS, 0.5)
    topics = random.choice(nouns, count, replace=False, p=_by_rank(NOUNS))
    links = np.where(random.random(count) < LINKED, random.choice(LINKS, count), "")
    links[0] = ""
    opening = zip(links, _maybe(random, modifiers, count), topics, strict=True)
    ending = random.choice(list(ENDINGS), p=list(ENDINGS.values()))

    lines = 1 + random.negative_binomial(*SENTENCES)
    others = random.choice(nouns, (2, lines), p=_by_rank(NOUNS))
    subjects, objects = np.where(
        random.random((2, lines)) < ON_TOPIC, random.choice(topics, (2, lines)), others
    )
    columns = (
        _maybe(random, modifiers, lines),
        subjects,
        random.choice(verbs, lines, p=_by_rank(VERBS)),
        _maybe(random, modifiers, lines),
        objects,
        ["."] * lines,
    )
    sentences = zip(*columns, strict=True)
    abstract = f"为了{_joined(opening)},{_joined(sentences)}"
    return Pair(abstract, f"{_joined(zip(links, topics, strict=True))}{ending}")


def _maybe(random: np.random.Generator, modifiers: np.ndarray, count: int) -> np.ndarray:
    """Return modifiers, or nothing in the place of many."""
    drawn = random.choice(modifiers, count, p=_by_rank(MODIFIERS))
    return np.where(random.random(count) < MODIFIED, drawn, "")


def _joined(rows) -> str:
    return "".join(str(word) for row in rows for word in row)
