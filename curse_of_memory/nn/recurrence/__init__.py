"""The engine: recurrences over whole sequences, in chunks of them, or one step at a time."""
