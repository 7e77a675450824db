"""A cluster of one node."""

from collections.abc import Iterator

import pytest

from tests.support.nodes import Nodes


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    found = Nodes(tmp_path_factory.mktemp("nodes"))
    found.add()
    yield found
    found.close()
