"""Tasks that models are trained on: each draws seeded batches of inputs and targets.

Long streams with answers at some of their steps are in :mod:`.labelled_streams`.
"""

from curse_of_memory.tasks.adding import Adding
from curse_of_memory.tasks.attention import AttentionApproximation
from curse_of_memory.tasks.characters import Characters
from curse_of_memory.tasks.copying import Copying
from curse_of_memory.tasks.data_files import available
from curse_of_memory.tasks.eigenworms import EigenWorms
from curse_of_memory.tasks.fitzhugh_nagumo import FitzHughNagumo
from curse_of_memory.tasks.heart_rate import HeartRate
from curse_of_memory.tasks.images import SequentialImages
from curse_of_memory.tasks.keywords import Keywords
from curse_of_memory.tasks.linear_functional import LinearFunctional
from curse_of_memory.tasks.lorenz96 import Lorenz96
from curse_of_memory.tasks.marked_symbols import MarkedSymbols
from curse_of_memory.tasks.noisy_images import NoisyImages
from curse_of_memory.tasks.penn_treebank import PennTreebank
from curse_of_memory.tasks.pointwise import Pointwise
from curse_of_memory.tasks.sampling import Batch
from curse_of_memory.tasks.summaries import Summaries
from curse_of_memory.tasks.teacher import TeacherFilter, random_rnn, random_transformer
from curse_of_memory.tasks.text import WikiText2
from curse_of_memory.tasks.unit_images import UnitImages
from curse_of_memory.tasks.volterra import VolterraFunctional

__all__ = [
    "Adding",
    "AttentionApproximation",
    "Batch",
    "Characters",
    "Copying",
    "EigenWorms",
    "FitzHughNagumo",
    "HeartRate",
    "Keywords",
    "LinearFunctional",
    "Lorenz96",
    "MarkedSymbols",
    "NoisyImages",
    "PennTreebank",
    "Pointwise",
    "SequentialImages",
    "Summaries",
    "TeacherFilter",
    "UnitImages",
    "VolterraFunctional",
    "WikiText2",
    "available",
    "random_rnn",
    "random_transformer",
]
