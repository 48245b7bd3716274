from curse_of_memory.gallery.state import fingerprint, is_current, package_checksum, write_state


def test_fingerprint_follows_code_parameters_and_package(project):
    project.write("a", "x = 1")
    notebook = project.read("a")
    first = fingerprint(notebook, {}, "p")
    assert fingerprint(notebook, {"horizon": 8}, "p") == first  # the default, said aloud
    assert fingerprint(notebook, {"horizon": 9}, "p") != first
    assert fingerprint(notebook, {}, "q") != first
    project.write("a", "x = 1", title="Other words")
    assert fingerprint(project.read("a"), {}, "p") == first
    project.write("a", "x = 2")
    assert fingerprint(project.read("a"), {}, "p") != first


def test_package_checksum_sees_what_figures_depend_on(tmp_path):
    (tmp_path / "theory").mkdir()
    (tmp_path / "gallery").mkdir()
    for file in ("theory/bias.py", "theory/data.csv", "gallery/batch.py", "cli.py"):
        (tmp_path / file).write_text("1")
    first = package_checksum(tmp_path)
    (tmp_path / "theory" / "__pycache__").mkdir()
    (tmp_path / "theory" / "__pycache__" / "bias.pyc").write_text("1")
    (tmp_path / "gallery" / "batch.py").write_text("2")
    (tmp_path / "cli.py").write_text("2")
    assert package_checksum(tmp_path) == first
    (tmp_path / "theory" / "data.csv").write_text("2")
    assert package_checksum(tmp_path) != first


def test_current_means_same_fingerprint_and_untouched_files(project):
    project.write("interest/a")
    notebook, figure = project.read("interest/a"), project.out / "interest" / "a.png"
    assert not is_current(project.out, notebook, "f")
    figure.parent.mkdir(parents=True)
    figure.write_text("1")
    write_state(project.out, notebook, "f", ["a.png"])
    assert is_current(project.out, notebook, "f")
    assert not is_current(project.out, notebook, "g")
    figure.write_text("2")
    assert not is_current(project.out, notebook, "f")
    figure.unlink()
    assert not is_current(project.out, notebook, "f")


def test_an_unreadable_state_file_counts_as_none(project):
    project.write("a")
    (project.out / "a.png").parent.mkdir()
    (project.out / "a.png").write_text("1")
    write_state(project.out, project.read("a"), "f", ["a.png"])
    (project.out / ".batch" / "state" / "a.json").write_text('{"fing')
    assert not is_current(project.out, project.read("a"), "f")
