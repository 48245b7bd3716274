"""Execute a notebook in place, to renew the outputs with which nbval compares.

Traces of papermill and of editors are removed from it; all else stays.
"""

from curse_of_memory.gallery.execution import CELL_SECONDS, IOPUB_SECONDS, START_SECONDS
from curse_of_memory.gallery.kernel import OneThreadKernel, no_kernel_left_behind, run_apart
from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.tools.files import whole_file

__all__ = ["refresh"]


def refresh(notebook: Notebook) -> None:
    """Execute `notebook` with its default parameters, and write the outputs into its file.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails; the file is then as it was.
    """
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(notebook.path, as_version=4)
    book.cells = [c for c in book.cells if "injected-parameters" not in c.metadata.get("tags", [])]
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        for key in ("papermill", "execution", "collapsed", "scrolled"):
            cell.metadata.pop(key, None)
    book.metadata.pop("papermill", None)
    metadata = book.metadata.copy()
    client = NotebookClient(
        book,
        kernel_name="python3",
        kernel_manager_class=OneThreadKernel,
        timeout=CELL_SECONDS,
        startup_timeout=START_SECONDS,
        iopub_timeout=IOPUB_SECONDS,
        record_timing=False,
        resources={"metadata": {"path": str(notebook.path.parent)}},
    )
    with no_kernel_left_behind():
        run_apart(client.execute)
    # the client writes this interpreter's version there, which is no output
    book.metadata = metadata
    with whole_file(notebook.path) as draft:
        nbformat.write(book, draft)
