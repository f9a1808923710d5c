"""Torch computes in one thread here, see `tools.single`."""

import pytest
from tools import single

one_thread = pytest.fixture(scope="module", autouse=True)(single.one_thread)
