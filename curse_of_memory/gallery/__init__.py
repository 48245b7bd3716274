"""Find, check and run the notebooks, publish the figures they write, and list these in a ledger and a page.

The gallery knows notebooks and files, not science. A notebook writes its own figure; this package decides
when it runs, with which parameters, and where the figure goes. Modules are imported one by one, so that the
command line answers before the heavy ones are needed.
"""

from curse_of_memory.tools.extras import require

require("figures", "ipykernel", "jinja2", "nbformat", "papermill", "yaml")
