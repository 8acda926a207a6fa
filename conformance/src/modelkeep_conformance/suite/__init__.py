"""The tests, one module for each chapter of the contract."""

import pytest

#: Says which clauses a test is about.
clause = pytest.mark.clause
