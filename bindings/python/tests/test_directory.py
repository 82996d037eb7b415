"""Deciding on a directory that other processes write to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bailiwick import Authorizer, DirectoryError, Entity, EntityError

from conftest import ROOT

BAILIWICK = ROOT / "target" / "debug" / "bailiwick"


class Place:
    """A directory's file, with an Owner and an Analyst. Each of its commands is another process."""

    def __init__(self, folder: Path) -> None:
        assert BAILIWICK.exists(), "`cargo build --features cli` makes it"
        self.file = folder / "directory.db"
        subprocess.run([BAILIWICK, "directory", "init", "--directory", self.file], check=True, capture_output=True)
        made = self.run("create-organization", "Acme", "--email", "olga@acme.test", "--operator")
        self.organization: str = made["target"]
        self.owner = self.accept(made)
        invite = ("invite-member", self.organization, "eli@acme.test", "EMPLOYEE", "--actor", self.owner)
        self.analyst = self.accept(self.run(*invite))

    def run(self, *words: str, text: str = "") -> dict[str, Any]:
        command = [str(BAILIWICK), "directory", *words, "--directory", str(self.file), "--format", "json"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def accept(self, invited: dict[str, Any]) -> str:
        accepted: str = self.run("accept-invitation", text=invited["link"]["token"])["target"]
        return accepted

    def deactivate(self) -> None:
        self.run("deactivate-member", self.analyst, "--actor", self.owner)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def until_denied(authorizer: Authorizer, place: Place) -> None:
    """Asks until the analyst is denied, and not for want of knowing."""
    while True:
        decision = authorizer.is_authorized(place.analyst, "viewOrganization", place.organization)
        assert not decision.indeterminate, decision
        if not decision:
            return


def test_what_another_process_commits_is_decided_on(place: Place) -> None:
    authorizer = Authorizer(directory=place.file)
    assert authorizer.is_authorized(place.analyst, "viewOrganization", place.organization)
    place.deactivate()
    until_denied(authorizer, place)
    assert authorizer.who_can("viewOrganization", place.organization).total == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_keeps_up_and_so_does_the_one_it_came_from(place: Place) -> None:
    authorizer = Authorizer(directory=str(place.file))
    assert authorizer.is_authorized(place.analyst, "viewOrganization", place.organization)
    child = os.fork()
    if child == 0:
        # Ends with an error, rather than never, where it does not keep up.
        signal.alarm(60)
        code = 1
        try:
            assert authorizer.is_authorized(place.analyst, "viewOrganization", place.organization)
            until_denied(authorizer, place)
            code = 0
        finally:
            os._exit(code)
    place.deactivate()
    until_denied(authorizer, place)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    # Nothing of the file was lost on the way.
    checked = subprocess.run([BAILIWICK, "directory", "verify", "--directory", place.file], capture_output=True)
    assert checked.returncode == 0, checked


def test_the_entities_of_a_directory_are_changed_by_its_commands_alone(place: Place) -> None:
    authorizer = Authorizer(directory=place.file)
    before = authorizer.revision
    with pytest.raises(EntityError, match="its commands change them"):
        authorizer.replace_entities([])
    with pytest.raises(EntityError, match="its commands change them"):
        authorizer.apply(upsert=[Entity(place.organization)])
    assert authorizer.revision == before
    with pytest.raises(ValueError, match="exclude each other"):
        Authorizer(directory=place.file, entities=[])


def test_a_file_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DirectoryError, match="there is no directory at"):
        Authorizer(directory=tmp_path / "none.db")
    other = tmp_path / "other.db"
    other.write_text("something else, and long enough to be looked at: " * 40)
    with pytest.raises(DirectoryError, match="is not a directory of bailiwick"):
        Authorizer(directory=other)
    with pytest.raises(TypeError, match="expected a path, found `int`"):
        Authorizer(directory=1)  # type: ignore[arg-type]
