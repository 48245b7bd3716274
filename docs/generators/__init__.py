"""What writes the pages that nobody writes by hand, as Sphinx extensions."""
