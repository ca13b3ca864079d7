"""Whatever its own schema allows, the server never fails: it answers, or says what is wrong."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis
import pytest
import schemathesis
from tests.served import application

FOLDER = TemporaryDirectory()
APP = application(Path(FOLDER.name) / "run")
SCHEMA = schemathesis.openapi.from_dict(APP.openapi()).exclude(path_regex="events$")  # a stream ends with its job
SCHEMA.app = APP


@pytest.fixture(scope="module", autouse=True)
def _ending():
    yield
    APP.state.jobs.close()
    FOLDER.cleanup()


@SCHEMA.parametrize()
@hypothesis.settings(
    max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck)
)
def test_no_request_makes_the_server_fail(case):
    case.call_and_validate(checks=[schemathesis.checks.not_a_server_error])
