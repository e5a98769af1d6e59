"""Report: evidence as one document of numbers, as figures, and as a page that needs no network."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyglyph.analysis.report.report import Report, analyse

__all__ = ["Report", "analyse"]


def __getattr__(name: str) -> Any:
    # `analyze --help` imports this package and answers without NumPy and polars.
    if name in __all__:
        from polyglyph.analysis.report import report

        return getattr(report, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
