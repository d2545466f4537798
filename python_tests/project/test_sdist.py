"""The files of a source distribution and of a wheel; nothing is compiled."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

backend = pytest.importorskip("scikit_build_core.build")
REPOSITORY = Path(__file__).parents[2]
KINDS = {
    *(".c", ".cff", ".cpp", ".cmake", ".css", ".cu", ".cuh", ".h", ".html", ".json", ".md"),
    *(".png", ".py", ".pyi", ".toml", ".txt"),
}
WITHOUT_SUFFIX = {
    *(".clang-format", ".gitignore", ".pre-commit-config.yaml", "LICENSE", "Makefile", "PKG-INFO"),
    *("py.typed", ".ci/run", ".ci/sanitize", ".ci/build_strict", ".ci/versions"),
    *("benchmarks/gpu_run", "python_tests/integrations/run"),
    "python_tests/integrations/environment",
}


@pytest.fixture(scope="module")
def in_repository() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        yield


@pytest.fixture(scope="module")
def sdist(in_repository: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """The size of each file by its path in the distribution."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(folder / backend.build_sdist(str(folder))) as archive:
        return {m.name.partition("/")[2]: m.size for m in archive.getmembers() if m.isfile()}


def test_everything_that_is_compiled_or_imported_is_there(sdist: dict[str, int]) -> None:
    needed = {"CMakeLists.txt", "pyproject.toml", "README.md", "cmake/cuda.cmake"}
    for folder in ("atjt_ext", "csrc"):
        for path in (REPOSITORY / folder).rglob("*"):
            if path.is_file() and path.suffix not in {".so", ".pyc"}:
                needed.add(path.relative_to(REPOSITORY).as_posix())
    assert "atjt_ext/runs/folder.py" in needed  # .gitignore names the folder /runs/ only
    assert needed - set(sdist) == set()


def test_the_licences_are_there(sdist: dict[str, int]) -> None:
    assert {"LICENSE", "csrc/third_party/dlpack/LICENSE"} <= set(sdist)


def test_no_data_no_build_outputs_no_records_of_benchmarks(sdist: dict[str, int]) -> None:
    strange = {
        name
        for name in sdist
        if PurePosixPath(name).suffix not in KINDS
        and not {name, PurePosixPath(name).name} & WITHOUT_SUFFIX
        and not name.startswith("python_tests/fuzz/corpus/")
    }
    assert strange == set()
    tops = {name.partition("/")[0] for name in sdist}
    assert not tops & {"build", "dist", "runs", ".venv", ".github", ".git"}
    assert not any(name.startswith("benchmarks/results/") for name in sdist)
    assert sum(sdist.values()) < 5_000_000


def test_a_wheel_holds_the_package_with_its_data_and_no_more(
    in_repository: None, tmp_path: Path
) -> None:
    # Without CMake and so without _C, because compiling takes minutes.
    name = backend.build_wheel(str(tmp_path), {"wheel.cmake": "false"})
    with zipfile.ZipFile(tmp_path / name) as archive:
        held = set(archive.namelist())
    package = {f for f in held if not f.startswith("atjt_ext-")}
    data = {"py.typed", "_C.pyi", "report/template.html", "report/style.css"}
    assert {f"atjt_ext/{one}" for one in data} <= package
    assert all(one.startswith("atjt_ext/") for one in package)
    assert sum("licenses/" in one for one in held) == 2
