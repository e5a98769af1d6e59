"""Where benchmarks come from: a file, or a name that says how to make or read one."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from polyglyph.analysis.evaluation.benchmark import Benchmark
from polyglyph.analysis.evaluation.errors import BenchmarkError
from polyglyph.analysis.evaluation.reading import read_benchmark

Maker = Callable[[str, Path | None], Benchmark]
"""Takes what stands after the colon, and the directory of the model that is asked where it is known."""


def find_benchmark(argument: str, *, model: Path | None = None) -> Benchmark:
    """Read or make the benchmark that a user named.

    Args:
        argument: A file's path, or a name of `MAKERS`, with what it takes after a colon. A file goes before a name.
        model: Directory of the model that is asked, where known.

    Raises:
        BenchmarkError: There is no such file and no such name, or what is there is no benchmark.
    """
    word, _, rest = argument.partition(":")
    if Path(argument).is_file() or word not in MAKERS:
        return _read(argument)
    return MAKERS[word](rest, model)


def _read(argument: str) -> Benchmark:
    if not Path(argument).exists():
        raise BenchmarkError(
            f"{argument}: no such file, and no benchmark of this name; there are organism, organism:DIR, names, "
            "names:sentence, eclektic:PATH and multiloko:PATH"
        )
    return read_benchmark(Path(argument))


def _organism(rest: str, model: Path | None) -> Benchmark:
    from polyglyph.analysis.benchmarks.organism import organism_benchmark

    path = Path(rest) if rest else model
    if path is None:
        raise BenchmarkError("organism: name the directory of the organism that is served, as in organism:DIR")
    return organism_benchmark(_existing(path))


def _names(rest: str, _model: Path | None) -> Benchmark:
    from polyglyph.analysis.benchmarks.names import names_benchmark

    if rest not in {"", "organism", "sentence"}:
        raise BenchmarkError(f"names:{rest}: expected names (for an organism) or names:sentence (for other models)")
    return names_benchmark(style="sentence" if rest == "sentence" else "organism")


def _eclektic(rest: str, _model: Path | None) -> Benchmark:
    from polyglyph.analysis.benchmarks.eclektic import load_eclektic

    return load_eclektic(_named("eclektic", rest))


def _multiloko(rest: str, _model: Path | None) -> Benchmark:
    from polyglyph.analysis.benchmarks.multiloko import load_multiloko

    return load_multiloko(_named("multiloko", rest))


def _named(word: str, rest: str) -> Path:
    if not rest:
        raise BenchmarkError(f"{word}: name the path of its files, as in {word}:PATH; docs/evaluate.md says which")
    return _existing(Path(rest))


def _existing(path: Path) -> Path:
    if not path.exists():
        raise BenchmarkError(f"{path}: no such file or folder")
    return path


MAKERS: Mapping[str, Maker] = MappingProxyType(
    {"organism": _organism, "names": _names, "eclektic": _eclektic, "multiloko": _multiloko}
)
