"""Runs a notebook from top to bottom: `notebook.py FILE`. An error in a cell ends it with that error."""

import sys
import tempfile

import nbformat
from nbclient import NotebookClient

book = nbformat.read(sys.argv[1], as_version=4)
with tempfile.TemporaryDirectory() as folder:
    NotebookClient(book, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
print(f"ran {sys.argv[1]}: {len(book.cells)} cells")
