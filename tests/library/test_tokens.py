"""Tests of API tokens and callbacks in the library."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from inference.__main__ import main
from inference.errors import InvalidRecipe
from inference.library.records import LOCAL_OWNER, Callback
from inference.library.tokens import Tokens, digest_of
from tests.support.library_jobs import Clock, new_job, opened, outcome


def test_a_token_is_known_at_once_to_a_running_server_and_stored_only_as_a_digest(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as library:
        tokens = Tokens(tmp_path)
        made = [tokens.make(name) for name in ("ann", "ann", "bob")]
        assert tokens.names() == ["ann", "ann", "bob"]
        assert [library.token_owner(digest_of(one)) for one in made] == ["ann", "ann", "bob"]
        assert library.token_owner(digest_of("mq_guessed")) is None
        assert tokens.remove("ann") == 2
        assert tokens.remove("ann") == 0
        assert [library.token_owner(digest_of(one)) for one in made] == [None, None, "bob"]
        tokens.close()
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not any(one.encode() in everything for one in made)
    assert len(set(made)) == 3
    assert all(len(one) > 40 for one in made)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65, "a\n", "«", "'"])
def test_a_name_of_other_characters_is_refused(tmp_path: Path, name: str) -> None:
    tokens = Tokens(tmp_path)
    with pytest.raises(InvalidRecipe, match="A token's name"):
        tokens.make(name)
    tokens.close()


def test_a_callback_is_due_once_its_job_has_ended_and_is_tried_until_it_is_dropped(
    tmp_path: Path,
) -> None:
    clock, url = Clock(), "https://hook.example/"
    with opened(tmp_path, clock=clock) as library:
        first, second, silent = (
            library.accept(new_job(callback=one), running=True).id for one in (url, url, "")
        )
        assert library.due_callbacks() == []
        library.finish(first, outcome(1))
        library.finish(silent, outcome(1))
        clock.now += 1
        library.fail(second, "It broke.")
        due = [Callback(job=job, url=url, attempts=0) for job in (first, second)]
        assert library.due_callbacks() == due
        library.postpone_callback(first, 30)
        assert library.due_callbacks() == due[1:]
        clock.now += 31
        assert library.due_callbacks()[1] == Callback(job=first, url=url, attempts=1)
        library.drop_callback(first, "Given up.")
        assert library.get("ann", first).notes[-1] == "Given up."
    with opened(tmp_path, clock=clock) as library:
        assert library.due_callbacks() == due[1:]
        library.delete("ann", second)
        assert library.due_callbacks() == []


def command(*arguments: str) -> tuple[int, str, str]:
    """Status and output of the command."""
    out, err = io.StringIO(), io.StringIO()
    return main(["token", *arguments], out, err), out.getvalue(), err.getvalue()


def test_the_command_makes_lists_and_removes_tokens(tmp_path: Path) -> None:
    library = ("--library", str(tmp_path / "new"))
    status, token, _ = command("ann", *library)
    assert status == 0
    assert command(*library)[0] == 0
    assert command("--list", *library) == (0, f"ann\n{LOCAL_OWNER}\n", "")
    with opened(tmp_path / "new") as open_library:
        assert open_library.token_owner(digest_of(token.strip())) == "ann"
        assert command("--remove", "ann", *library) == (0, "", "")
        assert open_library.token_owner(digest_of(token.strip())) is None
    status, _, told = command("--remove", "ann", *library)
    assert (status, told) == (1, "There is no token 'ann'.\n")
    status, _, told = command("a b", *library)
    assert status == 2
    assert "choose another" in told
    (tmp_path / "file").write_text("x")
    status, _, told = command("ann", "--library", str(tmp_path / "file"))
    assert status == 2
    assert "give another --library" in told
