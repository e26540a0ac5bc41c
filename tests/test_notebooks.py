"""The notebooks run from top to bottom, and are saved as they ran.

python tests/test_notebooks.py [NAME ...] runs those of the names, or all, and saves them, without the clock and the
versions of the machine.
"""

import ast
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
LARGEST = 300_000
"""Bytes."""
OF_A_MACHINE = re.compile(r"(?<![\w.])/(home|root|Users|tmp|var|private|work|opt|usr|mnt|scratch|builds)/|[A-Z]:\\")
"""Absolute paths."""

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def run(path: Path, cwd: Path, temporary: Path):
    """The notebook after running it, with commands of the environment that this Python belongs to."""
    notebook = nbformat.read(path, as_version=4)
    commands = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(cwd)}},
        record_timing=False,
        coalesce_streams=True,
    )
    client.execute(env={**os.environ, "PATH": commands, "TMPDIR": str(temporary)})
    notebook.metadata = METADATA
    return notebook


def save(path: Path) -> None:
    with tempfile.TemporaryDirectory() as cwd, tempfile.TemporaryDirectory() as temporary:
        nbformat.write(run(path, Path(cwd), Path(temporary)), path)


def read(path: Path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def code(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def with_figures(notebook) -> list[str]:
    return [cell.id for cell in code(notebook) if any("image/png" in output.get("data", {}) for output in cell.outputs)]


def texts(cell) -> list[str]:
    """What a cell's outputs say, without pictures."""
    found = [output.get("text", "") for output in cell.outputs]
    data = [output.get("data", {}) for output in cell.outputs]
    return found + ["".join(value) for one in data for kind, value in one.items() if kind.startswith("text/")]


def test_there_are_four():
    names = ["add_your_own_estimator", "compare_estimators", "gradient_lab", "step_size_ablation"]
    assert [path.stem for path in NOTEBOOKS] == names


@pytest.mark.slow
@every_notebook
def test_it_runs_draws_the_figures_it_was_saved_with_and_leaves_nothing_behind(path, tmp_path, tmp_path_factory):
    temporary = tmp_path_factory.mktemp("t")  # sockets lie below, whose paths must be short
    notebook = run(path, tmp_path, temporary)  # raises for a cell that fails
    assert with_figures(notebook) == with_figures(read(path))
    assert list(tmp_path.iterdir()) == []
    # torch makes this one when it is imported
    assert [path.name for path in temporary.iterdir() if not path.name.startswith("torchinductor_")] == []


@every_notebook
def test_every_cell_was_run_in_order_and_none_failed(path):
    cells = code(read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert all(output.output_type != "error" for output in cell.outputs), cell.id
        assert all(output.get("name") != "stderr" for output in cell.outputs), cell.id


@every_notebook
def test_it_has_figures_and_is_small(path):
    assert with_figures(read(path))
    assert path.stat().st_size < LARGEST


@every_notebook
def test_it_says_nothing_of_the_machine_it_ran_on(path):
    notebook = read(path)
    assert notebook.metadata == METADATA
    for cell in notebook.cells:
        assert cell.metadata == {}, cell.id
    for cell in code(notebook):
        for text in [cell.source, *texts(cell)]:
            assert not OF_A_MACHINE.search(text), OF_A_MACHINE.search(text)


@every_notebook
def test_it_defines_nothing_and_imports_nothing_private(path):
    for cell in code(read(path)):
        if cell.source.startswith("%%"):
            continue
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda), ast.unparse(node)
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert not re.search(r"(\.|import |, )_", ast.unparse(node)), ast.unparse(node)


if __name__ == "__main__":
    for chosen in [FOLDER / f"{name}.ipynb" for name in sys.argv[1:]] or NOTEBOOKS:
        save(chosen)
