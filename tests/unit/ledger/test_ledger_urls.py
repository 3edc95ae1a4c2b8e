"""A ledger's URL: what it may be, and that its password is in no text."""

from __future__ import annotations

import pytest

from bilateral.ledger.errors import LedgerMisconfigured
from bilateral.ledger.opening import open_ledger
from bilateral.ledger.urls import PostgreSQLLocation, SQLiteLocation, parse_ledger_url


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/lib/ledger.db", "/var/lib/ledger.db"),
        ("sqlite:////var/lib/ledger.db", "/var/lib/ledger.db"),
        ("sqlite:///with%20space/l.db", "/with space/l.db"),
    ],
)
def test_a_file_is_named_by_its_absolute_path(url: str, path: str) -> None:
    location = parse_ledger_url(url)
    assert isinstance(location, SQLiteLocation)
    assert str(location.path) == path
    assert location.place == f"sqlite://{path}"


@pytest.mark.parametrize(
    ("url", "place", "is_local"),
    [
        ("postgresql://u:secret@db.example:5433/l", "postgresql://db.example:5433/l", False),
        ("postgres://u:secret@127.0.0.1/l", "postgresql://127.0.0.1/l", True),
        ("postgresql://u:p%40ss%2Fsecret@[::1]:5432/l", "postgresql://[::1]:5432/l", True),
        ("postgresql://u:secret@[2001:db8::1]:5432/l", "postgresql://[2001:db8::1]:5432/l", False),
        ("postgresql://u:secret@a:1,b:2/l?target_session_attrs=read-write", "postgresql://a:1,b:2/l", False),
        ("postgresql://localhost:1,b:2/l", "postgresql://localhost:1,b:2/l", False),
        ("postgresql:///l?host=/run/postgresql&password=secret", "postgresql:///l", True),
        ("postgresql://u@%2Frun%2Fpostgresql/l", "postgresql://%2Frun%2Fpostgresql/l", True),
        ("postgresql://127.0.0.1/l?hostaddr=192.0.2.1", "postgresql://127.0.0.1/l", False),
        ("postgresql://u:secret@localhost.example/l", "postgresql://localhost.example/l", False),
    ],
)
def test_a_server_is_spoken_of_without_user_and_password(url: str, place: str, is_local: bool) -> None:
    location = parse_ledger_url(url)
    assert isinstance(location, PostgreSQLLocation)
    assert (location.place, location.is_local) == (place, is_local)
    assert "secret" not in repr(location)
    assert "secret" not in place


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ledger.db",
        "/var/lib/ledger.db",
        "sqlite://ledger.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///folder/",
        "sqlite:///l.db?mode=memory",
        "sqlite:///l%00.db",
        "mysql://secret@h/d",
        "postgresql://u:se/cret@h/d",
        "postgresql://u:12/secret@h/d",
        "postgresql://u:secret@h/d#x",
        "postgresql://u:sec ret@h/d",
        "postgresql://u:secret\n@h/d",
        "postgresql://u:secret@h/d/e",
        "postgresql://u:secret@[h/d",
        "postgresql://" + "h" * 5000,
    ],
)
async def test_what_could_be_read_in_two_ways_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(LedgerMisconfigured) as caught:
        await open_ledger(url)
    assert (
        "secret" not in f"{caught.value} {caught.value!r} {caught.value.__cause__} {caught.value.__context__}"
    )


@pytest.mark.parametrize("query", ["sslmode=nonsense", "no_such_setting=1", "connect_timeout=x"])
async def test_a_setting_that_postgresql_does_not_know_is_not_guessed(query: str) -> None:
    from bilateral.ledger.errors import LedgerError

    with pytest.raises(LedgerError) as caught:
        await open_ledger(f"postgresql://u:secret@127.0.0.1:1/d?{query}")
    assert "secret" not in f"{caught.value} {caught.value.__context__}"
