"""What a search or a control refuses.

RequestError
└── SearchError            what was given cannot be searched
    ├── NoControlError     a plan that has no matched random control
    └── TestItemError      a search was handed items that plans are judged on
"""

from polyglyph.contract.errors import RequestError


class SearchError(RequestError):
    """Stats, a benchmark or a folder that a search cannot use."""

    code = "invalid_search"


class NoControlError(SearchError):
    """A plan whose edits cannot be dealt to other experts of like frequency."""

    code = "no_control"


class TestItemError(SearchError):
    """An item of the test half, which no choice may depend on."""

    # pytest would collect the name.
    __test__ = False
    code = "test_item"
