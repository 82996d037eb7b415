"""The policy tests: the same files that the Rust tests and `bailiwick test` read."""

from __future__ import annotations

import json
from typing import Any

from bailiwick import Authorizer, Request

from conftest import CASES


def read() -> list[tuple[str, dict[str, Any]]]:
    cases = []
    for file in sorted(CASES.glob("*.json")):
        if not file.name.endswith(".entities.json"):
            cases += [(file.name, case) for case in json.loads(file.read_text(encoding="utf-8"))]
    return cases


def test_every_case_file_gives_the_expected_decisions() -> None:
    cases = read()
    files = {file for file, _ in cases}
    assert len(cases) >= 100 and len(files) >= 8, f"{len(cases)} cases in {len(files)} files"
    assert {case["decision"] for _, case in cases} == {"allow", "deny"}
    authorizers: dict[str, Authorizer] = {}
    requests: dict[str, list[tuple[str, dict[str, Any], Request]]] = {}
    for file, case in cases:
        name = case["entities"]
        if name not in authorizers:
            authorizers[name] = Authorizer(entities=CASES / name)
        requests.setdefault(name, []).append((file, case, Request(**case["request"])))
    wrong = []
    for name, items in requests.items():
        authorizer = authorizers[name]
        decisions = authorizer.is_authorized_many([request for _, _, request in items])
        for (file, case, _), decision in zip(items, decisions, strict=True):
            single = authorizer.is_authorized(**case["request"])
            expected = (
                case["decision"] == "allow",
                case.get("indeterminate", False),
                tuple(sorted(case["reason"])),
                case.get("num_errors", 0),
            )
            found = (decision.allowed, decision.indeterminate, decision.determining, len(decision.errors))
            if found != expected or single != decision or bool(decision) != decision.allowed:
                wrong.append(f"{file}: {case['name']}: expected {expected}, found {found}, alone {single!r}")
    assert not wrong, "\n".join(wrong)
