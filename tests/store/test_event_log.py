"""The event log: what is damaged is left out, the rest is there, in its order."""

import json
import logging
import math

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.errors import BadInput, HistoryError
from zeus_ray.records import Knobs, Measurement, Outcome, PowerProfile, StopReason, Target, TrialReport
from zeus_ray.store import event_log
from zeus_ray.store.event_log import EventLog, decode_event, encode_event, job_names, open_job_log
from zeus_ray.store.events import CurvePoint, ProcessInfo, ProfileMeasured, RunAsked, RunEnded, RunLost
from zeus_ray.store.storage import LocalFolder, StorageFolder


def asked(run_id):
    process = ProcessInfo(machine="here", pid=1, started_s=2.0)
    return RunAsked(knobs=Knobs(run_id=run_id, batch_size=64), process=process, default_batch_size=64)


def profile(run_id):
    points = ((250.0, 200.0, 10.0), (100.0, math.nan, 20.0))
    measured = PowerProfile(batch_size=64, gpu="V100", max_power_w=250.0, points=points)
    return ProfileMeasured(run_id=run_id, profile=measured)


def ended(run_id):
    outcome = Outcome(
        knobs=Knobs(run_id=run_id, batch_size=64, probe_limits_w=None),
        reached=True,
        epochs=3.0,
        measurement=Measurement(energy_j=1.0, time_s=2.0),
        stop=StopReason.TARGET_REACHED,
    )
    return RunEnded(
        outcome=outcome,
        target=Target("accuracy", 0.9),
        curve=(CurvePoint(1.0, 0.5, 0.5, 1.0), CurvePoint(3.0, 0.95, 1.0, 2.0)),
        report=TrialReport(gpu="V100"),
    )


def lost(run_id):
    return RunLost(run_id=run_id, why="its process is gone", crashed=True)


def runs(log, **options):
    return [(type(logged.event), logged.event.run_id) for logged in log.read(**options)]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "job"


def fill(folder, count=4):
    """Append events; the names of their files."""
    log = EventLog.open(folder)
    for number in range(count):
        log.append((asked, profile, ended)[number % 3](f"run{number}"))
    return [path.name for path in sorted(folder.glob("*.json"))]


def test_events_are_read_in_order_as_they_were_appended(folder):
    fill(folder, 7)
    read = EventLog.open(folder).read()
    assert [logged.event.run_id for logged in read] == [f"run{n}" for n in range(7)]
    assert [logged.number for logged in read] == list(range(1, 8))
    written = [(asked, profile, ended)[n % 3](f"run{n}") for n in range(7)]
    assert repr([logged.event for logged in read]) == repr(written)  # NaN is kept, and not equal to itself


def test_an_old_reader_ignores_fields_it_does_not_know():
    content = json.loads(encode_event("lost", 1.0, lost("a")))
    del content["sha256"]
    content["event"]["new"] = 1
    assert decode_event("00000001-lost-a.json", event_log._sealed(content)).event == lost("a")


def test_a_reader_sees_what_others_have_appended_since(folder):
    reader, writer = EventLog.open(folder), EventLog.open(folder)
    assert reader.read() == []
    writer.append(asked("a"))
    assert runs(reader) == [(RunAsked, "a")]


def test_reading_may_begin_after_an_event(folder):
    fill(folder, 4)
    log = EventLog.open(folder)
    assert runs(log, after=2) == [(RunEnded, "run2"), (RunAsked, "run3")]
    assert runs(log, after=log.last_number()) == []


def test_two_writers_that_took_the_same_number_lose_nothing(folder):
    storage = LocalFolder(folder)
    for run_id in ("a", "b"):
        storage.write(f"00000001-asked-{run_id}.json", encode_event("asked", 0.0, asked(run_id)))
    log = EventLog(storage)
    log.append(asked("c"))
    assert [(logged.number, logged.event.run_id) for logged in log.read()] == [(1, "a"), (1, "b"), (2, "c")]


def test_a_run_that_ended_is_not_lost(folder):
    log = EventLog.open(folder)
    for event in (asked("a"), lost("a"), ended("a"), lost("a"), asked("b"), lost("b"), lost("b")):
        log.append(event)
    assert runs(log) == [(RunAsked, "a"), (RunEnded, "a"), (RunAsked, "b"), (RunLost, "b")]


@pytest.mark.slow
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
    folder = tmp_path_factory.mktemp("history") / "job"
    path = folder / fill(folder)[which]
    whole = path.read_bytes()
    path.write_bytes(damaged(whole, damage))
    broken = path.read_bytes()
    log = EventLog.open(folder)
    left = [run_id for _kind, run_id in runs(log)]
    assert left == [f"run{n}" for n in range(4) if n != which or broken == whole]
    assert path.read_bytes() == broken
    log.append(asked("next"))
    assert [run_id for _kind, run_id in runs(log)] == [*left, "next"]


@pytest.mark.processes  # two seconds
def test_every_missing_or_changed_byte_is_noticed(folder):
    (name,) = fill(folder, 1)
    path = folder / name
    whole = path.read_bytes()
    others = [whole[:length] for length in range(len(whole))]
    others += [whole[:at] + bytes([whole[at] ^ 7]) + whole[at + 1 :] for at in range(len(whole))]
    for other in others:
        path.write_bytes(other)
        assert EventLog.open(folder).read() == []


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
        decode_event("00000001-asked-a.json", text)


def test_all_damage_is_named_in_one_warning(folder, caplog):
    names = fill(folder)
    for name in names[1:3]:
        (folder / name).write_text("{")
    log = EventLog.open(folder)
    with caplog.at_level(logging.WARNING):
        log.read()
        log.read()
    (record,) = caplog.records
    assert all(name in record.message for name in names[1:3])


def test_a_newer_version_is_left_out(folder, caplog):
    (name,) = fill(folder, 1)
    path = folder / name
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with caplog.at_level(logging.WARNING):
        assert EventLog.open(folder).read() == []
    assert "version 2" in caplog.text


def test_drafts_and_foreign_files_are_no_events(folder):
    fill(folder, 3)
    for name in (".00000009-asked-x.json.1.draft", "README", "9-asked-x.json", "00000009-asked-x.json.bak"):
        (folder / name).write_text("?")
    log = EventLog.open(folder)
    assert len(log.read()) == 3
    assert log.last_number() == 3


@pytest.mark.parametrize("job", ["", "a/b", "../b", ".hidden", "a b"])
def test_the_name_of_a_job_is_a_file_name(tmp_path, job):
    with pytest.raises(BadInput, match="job is"):
        open_job_log(tmp_path, job)


def test_a_history_has_the_logs_of_its_jobs(tmp_path):
    assert job_names(tmp_path / "history") == []
    for job in ("b", "a"):
        open_job_log(tmp_path / "history", job).append(asked("x"))
    assert job_names(tmp_path / "history") == ["a", "b"]
    assert runs(EventLog.open(tmp_path / "history" / "a")) == [(RunAsked, "x")]


def test_a_history_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for opened in (lambda: open_job_log(tmp_path / "file", "job"), lambda: EventLog.open(tmp_path / "file")):
        with pytest.raises(BadInput, match="is a file"):
            opened()


def test_an_unknown_storage_is_refused():
    with pytest.raises(BadInput, match="s3"):
        open_job_log("carrier-pigeon://loft/zeus", "job")


def test_every_storage_has_the_same_log(folder):
    from pyarrow import fs

    remote = EventLog(StorageFolder(fs.LocalFileSystem(), str(folder)))
    remote.append(asked("a"))
    local = EventLog.open(folder.as_uri())
    local.append(ended("a"))
    assert repr(remote.read()) == repr(local.read())  # NaN is not equal to itself
    assert runs(remote) == [(RunAsked, "a"), (RunEnded, "a")]


def test_a_storage_that_refuses_is_an_error(folder):
    log = EventLog.open(folder)
    folder.write_text("a file where the folder should be")
    with pytest.raises(HistoryError, match="cannot be"):
        log.append(asked("a"))
