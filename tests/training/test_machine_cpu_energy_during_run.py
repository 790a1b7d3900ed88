"""Energy of the CPUs in the results of runs: power zones are files of the test."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from power_zones import advance, zone
from runs import NO_GPU, ClockedGpu, plan, reported

import zeus_ray as zeus
from zeus_ray.gpus.discovery import GPU_VARIABLE
from zeus_ray.records import TrialReport
from zeus_ray.store.storage import LocalFolder
from zeus_ray.training.gpu_group_exchanging_at_windows import RankGpuGroup
from zeus_ray.training.gpu_group_over_ranks import DistributedGpuGroup
from zeus_ray.training.leased_gpu_group import GpuGroup
from zeus_ray.training.machine_cpu_energy_during_run import CpuEnergyOfRun
from zeus_ray.training.ranks_from_environment import Ranks
from zeus_ray.training.training_run import TrainingRun
from zeus_ray.training.usage_of_earlier_attempts import AttemptLog


@pytest.fixture
def package(tmp_path):
    return zone(tmp_path / "powercap", "intel-rapl:0", "package-0", 0, range_uj=10**12)


@pytest.fixture(autouse=True)
def zones_of_the_test(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "zeus_ray.training.leased_gpu_group.CpuEnergyOfRun", partial(CpuEnergyOfRun, tmp_path / "powercap")
    )


@pytest.fixture
def measured():
    """Groups whose CPUs are measured; released at the end."""
    groups = []

    def of(group):
        group.measure_cpus()
        groups.append(group)
        return group

    yield of
    for group in groups:
        group.release()


def test_cpus_and_memory_are_in_the_report_and_not_in_the_energy(tmp_path, package, measured):
    memory = zone(tmp_path / "powercap", "intel-rapl:0:0", "dram", 0, range_uj=10**12)
    gpu = ClockedGpu()
    run = TrainingRun(plan(), measured(gpu.group()))
    gpu.work(10)
    advance(package, 70)
    advance(memory, 5)
    found = reported(run)
    assert (found.cpu_energy_j, found.dram_energy_j) == (pytest.approx(70), pytest.approx(5))
    assert found.energy_j == pytest.approx(gpu.energy_j)


def test_what_cannot_be_read_is_nan(measured):
    assert math.isnan(reported(TrainingRun(plan(), measured(ClockedGpu().group()))).cpu_energy_j)


@pytest.mark.slow
def test_a_session_measures_from_its_lease_to_its_report(package, make_node):
    make_node()
    advance(package, 1000)
    with zeus.session(batch_size=8) as run:
        advance(package, 30)
        report = run.report({})
    assert report["zeus/cpu_energy_j"] == pytest.approx(30)
    assert run.measured_by == "counter"


@pytest.mark.usefixtures("package")
def test_beside_a_simulated_gpu_nothing_is_measured(monkeypatch, tmp_path):
    monkeypatch.setenv(GPU_VARIABLE, "simulated:V100")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with zeus.session(batch_size=8) as run:
        assert math.isnan(run.report({})["zeus/cpu_energy_j"])


def test_attempts_are_added_up(tmp_path, package, measured):
    folder = LocalFolder(tmp_path / "trial")
    for expected in (30, 60):
        run = TrainingRun(plan(), measured(ClockedGpu().group()), attempts=AttemptLog.open(folder))
        advance(package, 30)
        assert reported(run).cpu_energy_j == pytest.approx(expected)
    package.unlink()
    run = TrainingRun(plan(), measured(ClockedGpu().group()), attempts=AttemptLog.open(folder))
    assert math.isnan(reported(run).cpu_energy_j)


@pytest.mark.usefixtures("package")
def test_memory_of_attempts_and_of_other_processes_is_added_up(tmp_path, measured, monkeypatch):
    memory = zone(tmp_path / "powercap", "intel-rapl:0:0", "dram", 0, range_uj=10**12)
    folder = LocalFolder(tmp_path / "trial")
    for expected in (4, 8):
        run = TrainingRun(plan(), measured(ClockedGpu().group()), attempts=AttemptLog.open(folder))
        advance(memory, 4)
        assert reported(run).dram_energy_j == pytest.approx(expected)
    job = Job("ab", monkeypatch)
    groups = job.each(lambda rank: measured(job.launched(rank, ClockedGpu(index=rank).group())))
    job.each(lambda rank: groups[rank].connect())
    advance(memory, 3)
    job.each(lambda rank: groups[rank].exchange(None))
    assert [group.read().dram_energy_j for group in groups] == [pytest.approx(6)] * 2


def test_a_thread_reads_the_counters_only_where_there_are_any(package, tmp_path):
    def samplers():
        return sum(thread.name == "zeus-ray-sampler" for thread in threading.enumerate())

    before = samplers()
    CpuEnergyOfRun(tmp_path / "nothing")
    assert samplers() == before
    cpus = CpuEnergyOfRun(package.parent.parent)
    assert samplers() == before + 1
    cpus.close()


class Job:
    """Threads that stand for processes; ``machines``: the machine of each."""

    def __init__(self, machines, monkeypatch):
        self.machines, self.values = machines, [None] * len(machines)
        self.barrier, self.here = threading.Barrier(len(machines), timeout=20), threading.local()
        for name in ("gpu_group_over_ranks", "gpu_group_exchanging_at_windows"):
            monkeypatch.setattr(f"zeus_ray.training.{name}.this_machine", lambda: self.here.machine)

    def gather(self, value):
        self.values[self.here.rank] = value
        self.barrier.wait()
        everyones = list(self.values)
        self.barrier.wait()
        return everyones

    def each(self, work):
        def in_thread(rank):
            self.here.rank, self.here.machine = rank, self.machines[rank]
            try:
                return work(rank)
            except BaseException:
                self.barrier.abort()
                raise

        with ThreadPoolExecutor(len(self.machines)) as pool:
            return list(pool.map(in_thread, range(len(self.machines))))

    def launched(self, rank, gpus):
        """As one of the processes of torchrun."""
        ranks = Ranks(rank=rank, local_rank=rank, world_size=len(self.machines), launcher="a test")
        return RankGpuGroup(gpus, ranks, lambda _ranks: self.gather)


@pytest.mark.parametrize("machines", ["aa", "ab", "aabb"])
def test_workers_count_each_machine_once(machines, package, measured, monkeypatch):
    job = Job(machines, monkeypatch)
    groups = job.each(lambda rank: measured(DistributedGpuGroup(ClockedGpu(index=rank).group(), job.gather)))
    advance(package, 10)
    found = job.each(lambda rank: groups[rank].read().cpu_energy_j)
    assert found == [pytest.approx(10 * len(set(machines)))] * len(machines)


@pytest.mark.parametrize("machines", ["aa", "ab", "aabb"])
def test_launched_processes_count_each_machine_once(machines, package, measured, monkeypatch):
    job = Job(machines, monkeypatch)
    groups = job.each(lambda rank: measured(job.launched(rank, ClockedGpu(index=rank).group())))
    advance(package, 10)
    assert [group.read().cpu_energy_j for group in groups] == [pytest.approx(10)] * len(machines)  # alone
    job.each(lambda rank: groups[rank].connect())
    first = [name not in machines[:rank] for rank, name in enumerate(machines)]
    before = [group.read().cpu_energy_j for group in groups]
    assert [not math.isnan(joules) for joules in before] == first  # another process has this machine's
    job.each(lambda rank: groups[rank].exchange(None))
    assert [group.read().cpu_energy_j for group in groups] == [pytest.approx(10 * len(set(machines)))] * len(
        machines
    )


@pytest.mark.usefixtures("package")
def test_where_a_process_has_no_gpu_the_cpus_of_the_job_are_not_known(measured, monkeypatch):
    job = Job("ab", monkeypatch)
    groups = job.each(
        lambda rank: measured(job.launched(rank, GpuGroup([]) if rank else ClockedGpu().group()))
    )
    job.each(lambda rank: groups[rank].connect())
    job.each(lambda rank: groups[rank].exchange(None))
    assert all(math.isnan(group.read().cpu_energy_j) for group in groups)


def test_the_key_is_nan_in_results_that_were_stored_before_it():
    assert math.isnan(TrialReport.from_result({"zeus/measured_by": "counter"}).cpu_energy_j)
    assert math.isnan(NO_GPU.read().cpu_energy_j)
