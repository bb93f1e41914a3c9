"""Tests of the server's options from command line and environment."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from inference.serving.options import AUTH, Options, default_library

MACHINE = socket.gethostname().lower()


def read(*arguments: str, **surroundings: str) -> Options:
    return Options.read("", arguments, surroundings)


def test_without_a_word_it_is_for_this_machine_only() -> None:
    assert read() == Options(library=default_library())
    assert not read().is_shared


@pytest.mark.parametrize(
    ("arguments", "surroundings", "library"),
    [
        ([], {}, default_library()),
        ([], {"SPACE_ID": "me/masquerade"}, None),
        (["--library", "off"], {}, None),
        (["--library", "./off"], {}, Path("off")),
        (["--library", "/data/lib"], {"SPACE_ID": "me/masquerade"}, Path("/data/lib")),
    ],
)
def test_where_the_library_is(
    arguments: list[str], surroundings: dict[str, str], library: Path | None
) -> None:
    assert read(*arguments, **surroundings).library == library


@pytest.mark.parametrize("option", ["--library-size", "--library-days"])
@pytest.mark.parametrize(
    ("text", "value"),
    [("0.5", 0.5), ("30", 30.0), *((wrong, None) for wrong in ("0", "-1", "nan", "inf", "x"))],
)
def test_a_limit_of_the_library_is_a_number_above_0(
    option: str, text: str, value: float | None
) -> None:
    if value is None:
        with pytest.raises(SystemExit):
            read(option, text)
    else:
        options = read(option, text)
        assert value in (options.library_size, options.library_days)


@pytest.mark.parametrize(
    ("arguments", "surroundings", "is_shared"),
    [
        ([], {}, False),
        (["--host", "127.0.0.1"], {}, False),
        (["--host", "localhost"], {}, False),
        (["--host", "0.0.0.0"], {}, True),
        ([], {"GRADIO_SERVER_NAME": "0.0.0.0"}, True),
        (["--share"], {}, True),
        ([], {"GRADIO_SHARE": "True"}, True),
        (["--allowed-host", "page.example"], {}, True),
        ([], {"SPACE_HOST": "me-masquerade.hf.space"}, True),
    ],
)
def test_whether_others_can_reach_the_page(
    arguments: list[str], surroundings: dict[str, str], is_shared: bool
) -> None:
    assert read(*arguments, **surroundings).is_shared == is_shared


@pytest.mark.parametrize(
    ("arguments", "surroundings", "accounts"),
    [
        ([], {}, ()),
        (["--auth", "ann:secret"], {}, (("ann", "secret"),)),
        (["--auth", "ann:a:b"], {}, (("ann", "a:b"),)),
        (["--auth", "ann:a", "--auth", "bob:b"], {}, (("ann", "a"), ("bob", "b"))),
        ([], {AUTH: "ann:secret"}, (("ann", "secret"),)),
        ([], {AUTH: ""}, ()),
        (["--auth", "bob:b"], {AUTH: "ann:secret"}, (("bob", "b"),)),
    ],
)
def test_who_may_come_in(
    arguments: list[str], surroundings: dict[str, str], accounts: tuple[tuple[str, str], ...]
) -> None:
    assert read(*arguments, **surroundings).auth == accounts


@pytest.mark.parametrize("wrong", ["ann", "ann:", ":secret", ":", "secret"])
def test_half_an_account_never_opens_the_page(
    wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, surroundings in ((["--auth", wrong], {}), ([], {AUTH: wrong})):
        with pytest.raises(SystemExit):
            read(*arguments, **surroundings)
        assert "user:password" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "surroundings", "hosts"),
    [
        ([], {}, ()),
        (["--host", "box.example"], {}, ("box.example",)),
        (["--host", "0.0.0.0"], {}, (MACHINE, f"{MACHINE}.local")),
        ([], {"GRADIO_SERVER_NAME": "0.0.0.0"}, (MACHINE, f"{MACHINE}.local")),
        (["--allowed-host", "A.example", "--allowed-host", "b.example"], {},
         ("a.example", "b.example")),
        ([], {"SPACE_HOST": "me-masquerade.hf.space"}, ("me-masquerade.hf.space",)),
    ],
)  # fmt: skip
def test_by_which_names_it_may_be_called(
    arguments: list[str], surroundings: dict[str, str], hosts: tuple[str, ...]
) -> None:
    assert read(*arguments, **surroundings).hosts == hosts


@pytest.mark.parametrize(
    ("arguments", "surroundings", "checked"),
    [
        ([], {}, False),
        (["--safety-checker"], {}, True),
        ([], {"SPACE_ID": "me/masquerade"}, True),
        (["--no-safety-checker"], {"SPACE_ID": "me/masquerade"}, False),
    ],
)
def test_a_space_checks_what_it_shows(
    arguments: list[str], surroundings: dict[str, str], checked: bool
) -> None:
    assert read(*arguments, **surroundings).safety_checker is checked
