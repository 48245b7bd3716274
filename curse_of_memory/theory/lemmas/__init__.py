"""What the papers prove, as things that can be computed and checked."""
