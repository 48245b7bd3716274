"""``python -m curse_of_memory``: the command ``curse-of-memory``."""

import sys

from curse_of_memory.tools.extras import require


def main() -> None:
    """Run the command, or say in one line which extra it needs."""
    try:
        require("figures", "click")
        from curse_of_memory.cli import main as command
    except ModuleNotFoundError as error:
        sys.exit(f"Error: {error}")
    command(prog_name="curse-of-memory")


if __name__ == "__main__":
    main()
