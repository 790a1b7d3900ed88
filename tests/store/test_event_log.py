"""A folder of events: whatever is damaged is set aside, whatever is not is there, in its order."""

import logging

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.errors import BadInput, HistoryError
from zeus_ray.store.event_log import ASK, END, LOST, PROFILE, Event, Events, decode, encode, folder_at


@pytest.fixture
def folder(tmp_path):
    return folder_at(tmp_path, "job")


def fill(folder, count=4):
    events = Events(folder)
    for number in range(count):
        events.append((ASK, PROFILE, END)[number % 3], f"run{number // 3}", {"value": number})
    return [tmp.name for tmp in sorted(folder.path.glob("*.json"))]


def test_what_was_appended_is_read_in_order(folder):
    fill(folder, 7)
    events = Events(folder).read()
    assert [event.body["value"] for event in events] == list(range(7))
    assert [event.number for event in events] == list(range(1, 8))


def test_a_reader_sees_what_others_appended_since(folder):
    reader, writer = Events(folder), Events(folder)
    assert reader.read() == []
    writer.append(ASK, "a", {})
    assert [event.run for event in reader.read()] == ["a"]


def test_two_writers_that_saw_the_same_lose_nothing(folder):
    events = Events(folder)
    event = Event(number=1, kind=ASK, run="a", at_s=0.0, body={})
    for run in ("a", "b"):
        folder.write(f"00000001-ask-{run}.json", encode(event))
    events.append(ASK, "c", {})
    assert [(event.number, event.run) for event in events.read()] == [(1, "a"), (1, "b"), (2, "c")]


def test_a_run_ends_once_and_an_end_is_worth_more_than_a_loss(folder):
    events = Events(folder)
    for kind in (ASK, LOST, END, END, LOST):
        events.append(kind, "a", {})
    assert [event.kind for event in events.read()] == [ASK, END]


@examples(60)
@given(
    damage=st.one_of(
        st.tuples(st.just("cut"), st.integers(0, 400)),
        st.tuples(st.just("flip"), st.integers(0, 400), st.integers(1, 255)),
        st.tuples(st.just("replace"), st.binary(max_size=200)),
        st.tuples(st.just("append"), st.binary(min_size=1, max_size=20)),
    ),
    which=st.integers(0, 3),
)
def test_any_damage_to_a_file_costs_that_event_alone(tmp_path_factory, damage, which):
    folder = folder_at(tmp_path_factory.mktemp("history"), "job")
    names = fill(folder)
    path = folder.path / names[which]
    whole = path.read_bytes()
    path.write_bytes(damaged(whole, damage))
    broken = path.read_bytes()
    events = Events(folder)
    left = [event.body["value"] for event in events.read()]
    assert left == [n for n in range(4) if n != which or broken == whole]
    assert path.read_bytes() == broken
    events.append(ASK, "next", {"value": 4})
    assert [event.body["value"] for event in events.read()] == [*left, 4]


def test_not_one_byte_may_be_missing_or_other(folder):
    (name,) = fill(folder, 1)
    path = folder.path / name
    whole = path.read_bytes()
    others = [whole[:length] for length in range(len(whole))]
    others += [whole[:at] + bytes([whole[at] ^ 7]) + whole[at + 1 :] for at in range(len(whole))]
    for other in others:
        path.write_bytes(other)
        assert Events(folder).read() == []


def damaged(whole, damage):
    how, *rest = damage
    if how == "cut":
        return whole[: rest[0] % len(whole)]
    if how == "flip":
        at = rest[0] % len(whole)
        return whole[:at] + bytes([whole[at] ^ rest[1]]) + whole[at + 1 :]
    return rest[0] if how == "replace" else whole + rest[0]


@given(text=st.text(max_size=300))
def test_any_text_is_an_event_or_a_value_error(text):
    with pytest.raises(ValueError, match=r"damaged|version"):
        decode("00000001-ask-a.json", text)


def test_damage_is_told_once_and_by_name(folder, caplog):
    names = fill(folder)
    (folder.path / names[1]).write_text("{")
    events = Events(folder)
    with caplog.at_level(logging.WARNING):
        events.read()
        events.read()
    assert caplog.text.count(names[1]) == 1


def test_a_newer_version_is_set_aside(folder, caplog):
    (name,) = fill(folder, 1)
    path = folder.path / name
    path.write_text(path.read_text().replace('{"zeus_ray": 1', '{"zeus_ray": 2'))
    with caplog.at_level(logging.WARNING):
        assert Events(folder).read() == []
    assert "version 2" in caplog.text


def test_drafts_and_files_of_others_are_no_events(folder):
    fill(folder, 3)
    for name in (".00000009-ask-x.json.draft", "README", "9-ask-x.json", "00000009-ask-x.json.bak"):
        (folder.path / name).write_text("?")
    assert len(Events(folder).read()) == 3


@pytest.mark.parametrize("job", ["", "a/b", "../b", ".hidden", "a b"])
def test_a_job_has_a_name_that_is_a_file_name(tmp_path, job):
    with pytest.raises(BadInput, match="job is"):
        folder_at(tmp_path, job)


def test_a_history_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="is a file"):
        folder_at(tmp_path / "file", "job")


def test_an_unknown_storage_is_refused():
    with pytest.raises(BadInput, match="s3"):
        folder_at("carrier-pigeon://loft/zeus", "job")


def test_through_pyarrow_it_is_the_same(tmp_path):
    remote = Events(folder_at(tmp_path.as_uri(), "job"))
    remote.append(ASK, "a", {"value": 1})
    local = Events(folder_at(tmp_path, "job"))
    local.append(END, "a", {"value": 2})
    assert remote.read() == local.read()
    assert [event.kind for event in remote.read()] == [ASK, END]


def test_a_storage_that_takes_nothing_is_said(folder, tmp_path):
    events = Events(folder)
    (tmp_path / "job").write_text("a file where the folder should be")
    with pytest.raises(HistoryError, match="cannot be"):
        events.append(ASK, "a", {})
