"""``python -m curse_of_memory``: the command ``curse-of-memory``."""

from curse_of_memory.cli import main

if __name__ == "__main__":
    main(prog_name="curse-of-memory")
