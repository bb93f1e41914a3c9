"""Tests of the REST service against its OpenAPI description, by schemathesis.

`MASQUERADE_REST_CASES=100` sends fewer cases than the suite does.
"""

from __future__ import annotations

import base64
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
import schemathesis.checks
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.generation.modes import GenerationMode

from tests.support.page_server import Server, coloured, png
from tests.support.rest_client import TUNE, token_for

CASES = int(os.environ.get("MASQUERADE_REST_CASES", "2000"))
BASE64 = base64.b64encode(png(coloured((200, 30, 40)))).decode()
CHECKS = [
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.content_type_conformance,
    schemathesis.checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def described(running: Server) -> Any:
    """The service's description, with the address of the server."""
    return schemathesis.openapi.from_url(f"{running.url}/openapi.json")


@pytest.fixture(scope="module")
def session(running: Server) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token_for(running, 'anybody')}"
        yield session


def test_no_case_of_the_description_makes_the_server_fail(
    running: Server, described: Any, session: requests.Session
) -> None:
    operations = [one.ok() for one in described.get_all_operations()]
    seen: Counter[int] = Counter()
    for operation in operations:
        # A path alone cannot be wrong by its description: each text is one.
        can_be_wrong = bool(operation.body) or bool(operation.query)
        modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)[: 1 + can_be_wrong]
        # Half of the cases create prompts; the other routes share the other half.
        share = len(modes) * (1 if operation.method == "post" else len(operations) - 1)
        each = max(1, CASES // 2 // share)
        for mode in modes:
            strategy = operation.as_strategy(generation_mode=mode)

            @seed(7)
            @settings(
                max_examples=each,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=strategy, is_bent=st.booleans())
            def one(case: Any, is_bent: bool) -> None:
                if is_bent:
                    bend(case)
                answer = case.call(base_url=running.url, session=session)
                seen[answer.status_code] += 1
                case.validate_response(answer, checks=CHECKS)
                if answer.status_code == 201:
                    number = answer.json()["id"]
                    assert session.delete(f"{running.url}/prompts/{number}").status_code == 200

            one()
    assert sum(seen.values()) >= CASES * 0.9
    assert {200, 201, 404, 422} <= seen.keys(), seen
    assert not [status for status in seen if status >= 500], seen


def bend(case: Any) -> None:
    """Lead a case further in: an existing tune, and a real photo."""
    if "tune_id" in (case.path_parameters or {}):
        case.path_parameters["tune_id"] = TUNE
    if isinstance(case.body, dict):
        prompt = case.body.get("prompt")
        if isinstance(prompt, dict):
            prompt["input_image_base64"] = BASE64
        elif any(str(name).startswith("prompt[") for name in case.body):
            case.body["prompt[input_image_base64]"] = BASE64
            case.body.pop("prompt[input_image]", None)
