"""Deciding on a directory that other processes write to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bailiwick import Authorizer, DirectoryError, EntityError

from conftest import ROOT

BAILIWICK = ROOT / "target" / "debug" / "bailiwick"

pytestmark = pytest.mark.skipif(not BAILIWICK.exists(), reason=f"there is no {BAILIWICK}: `cargo test --features cli` makes it")


class Place:
    """A directory with an Owner and an Analyst, changed by another process."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "directory.db"
        self.run("init")
        made = self.run("create-organization", "Acme", "--email", "first@acme.test")
        self.owner = self.accept(made)
        (entry,) = [e for e in self.team() if e["role"] == "OWNER"]
        self.organization = f'Grc::Organization::"{entry["organization"]}"'
        invited = self.run("invite-member", self.organization, "--email", "eli@acme.test", "--role", "EMPLOYEE")
        self.analyst = self.accept(invited)

    def run(self, *words: str, stdin: str = "") -> dict[str, Any]:
        command = [str(BAILIWICK), "directory", "--directory", str(self.file), "--operator", "--format", "json", *words]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=True)
        return json.loads(done.stdout) if done.stdout.strip().startswith("{") else {}
