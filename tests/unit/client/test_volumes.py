"""Reading what somebody else updates: one generation, whole, whatever happens in between."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bilateral.client.errors import LayoutInvalid
from bilateral.client.volumes import MAX_FILE_BYTES, Reading, read_volume
from support.waiting import wait_for
from unit.client.pod import Volume

NAMES = ["a.crt", "b.crt", "c.yaml"]


def everything(_: str) -> bool:
    return True


def generation(number: int, names: list[str] = NAMES) -> dict[str, bytes]:
    return dict.fromkeys(names, str(number).encode())


def settled(path: Path) -> Reading:
    """A reading of a plain directory, made long enough after the last change to be relied on."""

    def look() -> Reading | None:
        reading = read_volume(path, everything)
        return reading if reading.is_current() else None

    return wait_for(look, "a settled reading")


def test_a_mounted_secret_is_its_files_without_the_kubelets_own(tmp_path: Path) -> None:
    volume = Volume(tmp_path / "secret", generation(1))
    reading = read_volume(volume.path, everything)
    assert dict(reading.files) == generation(1)
    assert reading.is_volume
    assert reading.is_current()
    volume.replace(generation(2))
    assert not reading.is_current()
    assert dict(reading.files) == generation(1)


def test_only_what_is_wanted_is_read(tmp_path: Path) -> None:
    volume = Volume(tmp_path / "secret", generation(1))
    assert list(read_volume(volume.path, lambda name: name.endswith(".yaml")).files) == ["c.yaml"]


@settings(max_examples=150, deadline=None)
@given(
    updates=st.lists(
        st.tuples(st.integers(min_value=0, max_value=8), st.sets(st.sampled_from(NAMES), min_size=1)),
        max_size=5,
    )
)
def test_updates_at_any_moment_of_a_reading_leave_it_whole(updates: list[tuple[int, set[str]]]) -> None:
    with TemporaryDirectory() as folder:
        volume = Volume(Path(folder) / "secret", generation(0))
        states = [generation(0)]
        pending = sorted(updates, key=lambda update: update[0])
        looks = 0

        def look(_: str) -> bool:
            # Asked for each file, between listing and reading: here the kubelet strikes.
            nonlocal looks
            while pending and pending[0][0] <= looks:
                states.append(generation(len(states), sorted(pending.pop(0)[1])))
                volume.replace(states[-1])
            looks += 1
            return True

        reading = read_volume(volume.path, look)
        assert dict(reading.files) in states
        assert reading.is_current() == (dict(reading.files) == states[-1])


@settings(max_examples=100, deadline=None)
@given(moments=st.lists(st.integers(min_value=0, max_value=8), max_size=4), replaced=st.booleans())
def test_rewriting_a_plain_directory_at_any_moment_leaves_a_reading_whole(
    moments: list[int], replaced: bool
) -> None:
    with TemporaryDirectory() as folder:
        directory = Path(folder)
        state = generation(0)
        for name, content in state.items():
            (directory / name).write_bytes(content)
        states = [dict(state)]
        pending = sorted(moments)
        looks = 0

        def look(_: str) -> bool:
            nonlocal looks
            while pending and pending[0] <= looks:
                pending.pop(0)
                # The same size on purpose: only the times tell.
                name = NAMES[len(states) % len(NAMES)]
                states.append({**states[-1], name: str(len(states) % 10).encode()})
                if replaced:
                    (directory / "new").write_bytes(states[-1][name])
                    (directory / "new").replace(directory / name)
                else:
                    (directory / name).write_bytes(states[-1][name])
            looks += 1
            return True

        reading = read_volume(directory, look)
        assert dict(reading.files) in states
        # What was written in the last milliseconds may have left no trace: such a reading is not relied on.
        assert dict(reading.files) == states[-1] or not reading.is_current()


def test_a_plain_reading_is_current_once_its_files_have_settled(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    reading = settled(tmp_path)
    (tmp_path / "a").write_bytes(b"2")
    assert not reading.is_current()


@pytest.mark.parametrize("change", ["write", "add", "remove", "rename"])
def test_a_plain_reading_notices(change: str, tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / name).write_bytes(b"1")
    reading = settled(tmp_path)
    match change:
        case "write":
            (tmp_path / "b.crt").write_bytes(b"2")
        case "add":
            (tmp_path / "d.crt").write_bytes(b"1")
        case "remove":
            (tmp_path / "b.crt").unlink()
        case "rename":
            (tmp_path / "b.crt").rename(tmp_path / "d.crt")
    assert not reading.is_current()


def test_a_directory_that_is_not_there_has_no_files_and_is_noticed_when_it_comes(tmp_path: Path) -> None:
    reading = read_volume(tmp_path / "later", everything)
    assert dict(reading.files) == {}
    assert reading.is_current()
    Volume(tmp_path / "later", generation(1))
    assert not reading.is_current()


def test_links_out_of_the_directory_are_followed_and_dangling_ones_passed_over(tmp_path: Path) -> None:
    volume = Volume(tmp_path / "secret", generation(1))
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "a.crt").symlink_to(volume.path / "a.crt")
    (linked / "dangling.crt").symlink_to(tmp_path / "nowhere")
    (linked / "folder.crt").mkdir()
    reading = read_volume(linked, everything)
    assert dict(reading.files) == {"a.crt": b"1"}
    volume.replace(generation(2))
    assert dict(read_volume(linked, everything).files) == {"a.crt": b"2"}


def test_a_link_to_a_mounted_secret_is_a_mounted_secret(tmp_path: Path) -> None:
    volume = Volume(tmp_path / "secret", generation(1))
    (tmp_path / "known_servers").symlink_to(volume.path)
    reading = read_volume(tmp_path / "known_servers", everything)
    assert reading.is_volume
    volume.replace(generation(2))
    assert not reading.is_current()


def test_what_no_secret_can_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "large.crt").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    with pytest.raises(LayoutInvalid) as caught:
        read_volume(tmp_path, everything)
    assert caught.value.cause == "too-large"
    assert caught.value.file.endswith("/large.crt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "id.key").write_bytes(b"x")
    (tmp_path / "id.key").chmod(0)
    with pytest.raises(LayoutInvalid, match="permission denied"):
        read_volume(tmp_path, everything)


def test_five_hundred_updates_under_eight_readers(tmp_path: Path) -> None:
    volume = Volume(tmp_path / "secret", generation(0))
    ended = threading.Event()
    failures: list[object] = []
    readings = [0] * 8

    def read(number: int) -> None:
        newest = 0
        while not ended.is_set():
            try:
                files = dict(read_volume(volume.path, everything).files)
            except LayoutInvalid as error:
                failures.append(error)
                return
            values = set(files.values())
            # One generation, complete, and never an older one than before.
            if len(values) != 1 or sorted(files) != NAMES or int(min(values)) < newest:
                failures.append(files)
                return
            newest = int(min(values))
            readings[number] += 1

    threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for number in range(1, 501):
        volume.replace(generation(number))
    wait_for(lambda: failures or all(readings), "every reader has read")
    ended.set()
    for thread in threads:
        thread.join()
    assert failures == []
