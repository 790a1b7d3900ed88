"""Replayed traces: synthetic ones, and recorded ones with ``--traces DIR``."""

import csv
from pathlib import Path

import pytest

from zeus_ray.errors import BadInput
from zeus_ray.gpus import discovery
from zeus_ray.gpus.replayed_gpu import ReplayedJob, ReplayGpu, interpolate, parse_replay
from zeus_ray.gpus.virtual_gpu_base import VirtualGpu
from zeus_ray.records import MeasuredBy

HEADER = "dataset,network,batch_size,optimizer,power_limit,time_per_epoch,average_power"
ROWS = """\
cifar100,shufflenetv2,64,adadelta,200,40,150
cifar100,shufflenetv2,64,adadelta,100,60,90
cifar100,shufflenetv2,128,adadelta,100,50,95
cifar100,shufflenetv2,128,adadelta,200,25,180
cifar100,shufflenetv2,128,adam,100,1,1
squad,bert,32,adamw,150,9000,140
"""


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, ROWS)
    return tmp_path


def write(folder, rows, header=HEADER):
    (folder / "summary_power_v100.csv").write_text(f"{header}\n{rows}")


def test_replays_the_first_job_by_default(folder):
    gpu = ReplayGpu.open(str(folder), 2)
    assert isinstance(gpu, VirtualGpu)
    assert (gpu.uuid, gpu.name, gpu.measured_by) == ("REPLAY-v100-2", "replayed v100", MeasuredBy.REPLAY)
    assert (gpu.range.min_w, gpu.range.max_w, gpu.power_limit_w()) == (100, 200, 200)
    gpu.train(50_000, 128)
    assert gpu.now_s() == pytest.approx(25)
    assert gpu.energy_j() == pytest.approx(25 * 180)
    gpu.set_power_limit_w(100)
    gpu.train(25_000, 64)
    assert gpu.now_s() == pytest.approx(25 + 30)
    assert gpu.energy_j() == pytest.approx(25 * 180 + 30 * 90)


def test_options_choose_the_job_and_the_length_of_an_epoch(folder):
    gpu = ReplayGpu.open(f"{folder}?dataset=squad&samples=90000", 0)
    assert gpu.time_per_sample_s(32) == pytest.approx(0.1)
    assert ReplayGpu.open(f"{folder}?optimizer=adam", 0).time_per_sample_s(128) == pytest.approx(1 / 50_000)


def test_spec_to_job():
    spec = "/data?gpu=a40&dataset=d&network=n&optimizer=o&samples=7"
    assert parse_replay(spec) == ReplayedJob(
        folder="/data", gpu="a40", dataset="d", network="n", optimizer="o", samples=7
    )
    assert parse_replay("/data") == ReplayedJob(folder="/data")


EPOCHS = [(100.0, 50.0, 90.0), (150.0, 40.0, 130.0), (200.0, 38.0, 160.0)]


@pytest.mark.parametrize(
    ("limit_w", "epoch"),
    [
        (100, (50, 90)),
        (125, (45, 110)),
        (150, (40, 130)),
        (175, (39, 145)),
        (200, (38, 160)),
        (50, (50, 90)),
        (250, (38, 160)),
    ],
)
def test_limits_between_recorded_ones(limit_w, epoch):
    assert interpolate(EPOCHS, limit_w) == pytest.approx(epoch)
    assert interpolate(EPOCHS[:1], limit_w) == (50, 90)


def test_full_load_is_that_of_the_batch_size_with_the_highest_power(folder):
    gpu = ReplayGpu.open(str(folder), 0)
    gpu.set_power_limit_w(100)
    gpu.load(10)
    assert gpu.now_s() == pytest.approx(20)
    assert gpu.power_w() == 95


def test_the_source_and_the_gpu_agree_on_the_uuid(folder):
    source = f"replay:{folder}?dataset=squad"
    uuid = discovery.virtual_uuid(source, 1)
    assert discovery.open_gpu(source, uuid).uuid == uuid == "REPLAY-v100-1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("?gpu=a40", r"summary_power_a40.csv.*recordings there: summary_power_v100.csv"),
        ("?dataset=mnist", r"no mnist/\*/\*; recorded: cifar100/shufflenetv2/adadelta, .*squad/bert/adamw"),
        ("?card=v100", r"no option 'card'; allowed: gpu, dataset, network, optimizer, samples"),
        ("?samples=0", "at least 1"),
        ("?samples=many", "'many'; a whole number"),
        ("?gpu=", "summary_power_.csv"),
    ],
)
def test_invalid_options_list_what_is_allowed(folder, options, message):
    with pytest.raises(BadInput, match=message):
        ReplayGpu.open(f"{folder}{options}", 0)


def test_a_batch_size_that_was_not_recorded_lists_the_recorded_ones(folder):
    gpu = ReplayGpu.open(str(folder), 0)
    with pytest.raises(BadInput, match=r"batch size 256 .*recorded: 64, 128"):
        gpu.train(1, 256)
    assert gpu.now_s() == 0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("cifar100,shufflenetv2,128,adadelta,100,fast,95", "line 3: time_per_epoch is 'fast'"),
        ("cifar100,shufflenetv2,128,adadelta,100,nan,95", "line 3: time_per_epoch is 'nan'"),
        ("cifar100,shufflenetv2,128,adadelta,-100,5,95", "line 3: power_limit is '-100'"),
        ("cifar100,shufflenetv2,12.5,adadelta,100,5,95", "line 3: batch_size is '12.5'"),
        ("cifar100,shufflenetv2,128", "line 3: as many values"),
        ("cifar100,shufflenetv2,128,adadelta,100,5,95,7", "line 3: as many values"),
    ],
)
def test_a_malformed_row_is_named_by_file_and_line(tmp_path, row, message):
    write(tmp_path, f"cifar100,shufflenetv2,64,adadelta,200,40,150\n{row}\n")
    with pytest.raises(BadInput, match=rf"summary_power_v100.csv, {message}"):
        ReplayGpu.open(str(tmp_path), 0)


def test_a_missing_column_and_an_empty_file(tmp_path):
    write(tmp_path, ROWS, header=HEADER.replace("power_limit", "limit"))
    with pytest.raises(BadInput, match="line 1: no column power_limit; needed: dataset"):
        ReplayGpu.open(str(tmp_path), 0)
    write(tmp_path, "")
    with pytest.raises(BadInput, match=r"no \*/\*/\*; recorded: nothing"):
        ReplayGpu.open(str(tmp_path), 0)
    (tmp_path / "summary_power_v100.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="cannot read"):
        ReplayGpu.open(str(tmp_path), 0)


def test_recorded_traces_are_replayed_row_by_row(request):
    folder = request.config.getoption("--traces")
    if folder is None:
        pytest.skip("no recorded traces: pass --traces DIR")
    recordings = sorted(Path(folder).glob("summary_power_*.csv"))
    assert recordings
    for recording in recordings:
        name = recording.stem.removeprefix("summary_power_")
        for row in list(csv.DictReader(recording.read_text().splitlines()))[::7]:
            job = "&".join(f"{key}={row[key]}" for key in ("dataset", "network", "optimizer"))
            gpu = ReplayGpu.open(f"{folder}?gpu={name}&{job}&samples=1000", 0)
            gpu.set_power_limit_w(float(row["power_limit"]))
            gpu.train(1000, int(row["batch_size"]))
            assert gpu.now_s() == pytest.approx(float(row["time_per_epoch"]))
            assert gpu.power_w() == pytest.approx(float(row["average_power"]))
