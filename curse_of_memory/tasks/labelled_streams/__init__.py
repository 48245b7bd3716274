"""Long streams with answers that are asked at some of their steps, and the least error of a window.

========================  ======================================================  ===========================
task                      what is asked                                           floor of a window
========================  ======================================================  ===========================
:class:`Corridor`         a colour, at the end of a corridor                      exact, closed form
:class:`Portal`           which exit leads on, in rooms that were seen before     exact, closed form
:class:`DistantCopy`      symbols, after a long text                              exact, closed form
:class:`ObjectCollision`  where two colours last met                              of drawn ages, no bound
:class:`Instructions`     who sent a message, in a text world                     none
:class:`Algorithmic`      the value of a variable that a program prints           none
========================  ======================================================  ===========================

``stream(steps, seed=)`` draws inputs, labels and ages, and a model learns from them by
``training.fit_stream(model, text, validation, labels=, validation_labels=)``. The least error of whoever
sees D steps back is ``task.age_law.floor(D)``, where there is a closed form; ``age_law()`` of
:class:`ObjectCollision` draws, and takes how many steps.
"""

from curse_of_memory.tasks.labelled_streams.algorithmic import Algorithmic
from curse_of_memory.tasks.labelled_streams.corridor import Corridor
from curse_of_memory.tasks.labelled_streams.distant_copy import DistantCopy
from curse_of_memory.tasks.labelled_streams.instructions import Instructions
from curse_of_memory.tasks.labelled_streams.light_world import LIGHT, World, part_of, words_of
from curse_of_memory.tasks.labelled_streams.object_collision import CollisionSteps, ObjectCollision
from curse_of_memory.tasks.labelled_streams.portal import Portal
from curse_of_memory.tasks.labelled_streams.stream import NOT_ASKED, AgeLaw, LabelledStream, law_of_ages

__all__ = [
    "LIGHT",
    "NOT_ASKED",
    "AgeLaw",
    "Algorithmic",
    "CollisionSteps",
    "Corridor",
    "DistantCopy",
    "Instructions",
    "LabelledStream",
    "ObjectCollision",
    "Portal",
    "World",
    "law_of_ages",
    "part_of",
    "words_of",
]
