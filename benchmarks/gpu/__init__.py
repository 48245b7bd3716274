"""All that one short hour on a GPU is for: ``make gpu``, in under ten minutes.

    environment.py   which Python has a torch that sees the GPU, and what it lacks
    parts.py         a part: its command, its time, and how it ended
    plan.py          which parts, in which order, and how long each may take
    __main__.py      runs them, and keeps what has ended

``DEVICE=cpu make gpu`` tries the same at the tiniest size.
"""
