"""A job of several processes without a search: each is a thread with a clock and a GPU of its own."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from runs import NO_GPU, ClockedGpu, own_plan, reported

import zeus_ray as zeus
from zeus_ray.errors import BadInput, DeviceError
from zeus_ray.records import StopReason, Target
from zeus_ray.training.gpu_group_exchanging_at_windows import RankGpuGroup
from zeus_ray.training.gpu_group_over_ranks import DistributedGpuGroup
from zeus_ray.training.ranks_from_environment import Ranks
from zeus_ray.training.run_of_one_rank import RankRun, gpus_of_rank

pytestmark = pytest.mark.slow


class Job:
    """Threads that step together, as data-parallel processes do, and count what they gather."""

    def __init__(self, size, monkeypatch, **load):
        self.size, self.gathered = size, 0
        self.gpus = [ClockedGpu(index=rank, **load) for rank in range(size)]
        self.values, self.barrier = [None] * size, threading.Barrier(size, timeout=20)
        self.mine = threading.local()
        monkeypatch.setattr("time.perf_counter", lambda: getattr(self.mine, "gpu", self.gpus[0]).now_s)

    def gather_of(self, rank):
        def gather(value):
            self.gathered += rank == 0
            self.values[rank] = value
            self.barrier.wait()
            everyones = list(self.values)
            self.barrier.wait()
            return everyones

        return gather

    def group(self, rank, gpu):
        ranks = Ranks(rank=rank, local_rank=rank, world_size=self.size, launcher="a test")
        return RankGpuGroup(gpu.group() if gpu else NO_GPU, ranks, lambda _ranks: self.gather_of(rank))

    def run(self, work, plan=None, groups=None, **options):
        def in_thread(rank):
            gpu = self.gpus[rank]
            self.mine.gpu = gpu
            group = (groups or self.group)(rank, gpu)
            kind = RankRun(
                Ranks(rank=rank, local_rank=rank, world_size=self.size),
                plan or own_plan(64),
                group,
                **options,
            )
            try:
                return work(rank, kind, gpu)
            except BaseException:
                self.barrier.abort()
                raise

        with ThreadPoolExecutor(self.size) as pool:
            return [f.result() for f in [pool.submit(in_thread, rank) for rank in range(self.size)]]


def limits_of(run, gpu, steps):
    limits = []
    for _ in range(steps):
        with run.step():
            limits.append(gpu.limit_w)
            gpu.work()
    return limits


@pytest.mark.parametrize("size", [2, 4])
def test_all_processes_hold_the_same_limit_in_the_same_step(monkeypatch, size):
    job = Job(size, monkeypatch)
    first, *others = job.run(lambda _rank, run, gpu: (limits_of(run, gpu, 500), reported(run)))
    for limits, report in others:
        assert limits == first[0]
        assert report.unit_profile == first[1].unit_profile
    assert job.gpus[0].cost(first[0][-1]) <= 1.01 * job.gpus[0].cost(job.gpus[0].best_w())
    assert len(set(first[0])) >= 3


def test_processes_exchange_values_at_the_edges_of_windows_alone(monkeypatch):
    job = Job(2, monkeypatch)

    def work(_rank, run, gpu):
        limits_of(run, gpu, 300)
        before = job.gathered
        limits_of(run, gpu, 1000)
        at_edges = job.gathered - before
        run.report({})
        run.pause()
        return before, at_edges, job.gathered - before

    before, at_edges, after = job.run(work)[0]
    assert before <= 14  # leases, first exchange, and one per window of the profile
    assert at_edges <= 1000 * 0.2 / 5 + 1  # records of 5 s and more
    assert after == at_edges


def test_energy_is_of_all_gpus_also_in_a_report_of_one_process_alone(monkeypatch):
    job = Job(2, monkeypatch)

    def work(rank, run, gpu):
        limits_of(run, gpu, 1000)
        return reported(run) if rank == 0 else None

    report = job.run(work)[0]
    assert report.energy_j == pytest.approx(sum(g.energy_j for g in job.gpus), abs=report.energy_j_err + 1)
    assert report.energy_j == pytest.approx(2 * job.gpus[0].energy_j, rel=0.01)
    assert report.units == 1000


@pytest.mark.parametrize("reports", [(0,), (0, 1)])
def test_a_stop_is_agreed_on_and_comes_in_the_same_step(monkeypatch, reports):
    job = Job(2, monkeypatch)

    def work(rank, run, gpu):
        for step in range(5000):
            if run.stop:
                return step, run.stop
            with run.step():
                gpu.work()
            if step == 700 and rank in reports:
                run.report({"accuracy": 0.95})
        return None

    ended = job.run(work, own_plan(64, target=Target("accuracy", 0.9)))
    assert ended[0] == ended[1]
    assert ended[0][1] == StopReason.TARGET_REACHED
    assert 700 < ended[0][0] < 700 + 31 / 0.2


def test_a_stop_that_only_another_process_than_the_first_wishes_is_none(monkeypatch):
    job = Job(2, monkeypatch)

    def work(rank, run, gpu):
        limits_of(run, gpu, 300)
        if rank == 1:  # its share of the validation set
            run.report({"accuracy": 0.95})
        limits_of(run, gpu, 300)
        return run.stop

    assert job.run(work, own_plan(64, target=Target("accuracy", 0.9))) == [None, None]


def test_the_slowest_process_decides(monkeypatch):
    job = Job(2, monkeypatch)
    job.gpus[1].step_s, job.gpus[1].slope = 0.22, 0.9

    def work(_rank, run, gpu):
        slow, limits = job.gpus[1], []
        for _ in range(600):
            with run.step():
                limits.append(gpu.limit_w)
                gpu.spend(slow.time_s(gpu.limit_w), gpu.power_w(gpu.limit_w))
        return limits

    limits, same = job.run(work)
    assert limits == same
    assert job.gpus[1].cost(limits[-1]) <= 1.01 * job.gpus[1].cost(job.gpus[1].best_w())


def test_a_limit_that_one_process_cannot_set_is_chosen_by_none(monkeypatch, caplog):
    job = Job(2, monkeypatch)

    def work(rank, run, gpu):
        limits_of(run, gpu, 40)
        if rank == 1:
            gpu.refuses = DeviceError("unknown error")
        return limits_of(run, gpu, 500)

    limits = job.run(work)
    assert limits[0][-1] == 300
    assert len(set(limits[0][200:])) == 1
    assert "no power limit is chosen any more: unknown error" in caplog.text


def test_processes_that_cannot_exchange_measure_and_set_nothing(monkeypatch, caplog):
    job = Job(2, monkeypatch)

    def alone(rank, gpu):
        ranks = Ranks(rank=rank, local_rank=rank, world_size=2, launcher="srun")
        return RankGpuGroup(gpu.group(), ranks, lambda _ranks: None)

    def work(_rank, run, gpu):
        run.report({"accuracy": 0.95})
        limits_of(run, gpu, 100)
        return reported(run, accuracy=0.95), run.stop, gpu.set_w

    for report, stop, set_w in job.run(work, own_plan(64, target=Target("accuracy", 0.9)), alone):
        assert set_w == []
        assert stop == StopReason.TARGET_REACHED
        assert report.energy_j > 0
    assert "Initialise torch.distributed before the first step" in caplog.text


@pytest.mark.parametrize("answers", [0, 1])
def test_processes_that_do_not_answer_at_the_start_set_nothing(monkeypatch, caplog, answers):
    job = Job(1, monkeypatch)

    def fails_after(calls):
        def gather(value):
            calls.append(value)
            if len(calls) > answers:
                raise RuntimeError("connection reset by peer")
            return [value]

        return gather

    def group(_rank, gpu):
        ranks = Ranks(rank=0, local_rank=0, world_size=2, launcher="a test")
        return RankGpuGroup(gpu.group(), ranks, lambda _ranks: fails_after([]))

    def work(_rank, run, gpu):
        limits_of(run, gpu, 200)
        return gpu.set_w, reported(run).energy_j

    assert job.run(work, groups=group) == [([], job.gpus[0].energy_j)]
    assert "connection reset by peer" in caplog.text


def test_a_process_that_ends_leaves_the_others_at_their_limit(monkeypatch, caplog):
    job = Job(2, monkeypatch)

    def work(rank, run, gpu):
        if rank == 1:
            limits_of(run, gpu, 200)
            job.barrier.abort()
            return None
        return limits_of(run, gpu, 600)

    limits = job.run(work)[0]
    assert len(set(limits[250:])) == 1
    assert "the other processes do not answer" in caplog.text


def test_a_gpu_that_two_processes_use_counts_once(monkeypatch, caplog):
    job = Job(2, monkeypatch)

    def same(rank, _gpu):
        return job.group(rank, job.gpus[0])

    def work(_rank, run, gpu):
        for _ in range(200):
            with run.step():
                gpu.spend(0.2, 100)
        return len(run._group), len(run._group.mine)

    assert job.run(work, groups=same) == [(1, 1), (1, 0)]
    assert "it counts once" in caplog.text


def test_a_process_without_a_gpu_takes_part(monkeypatch):
    job = Job(2, monkeypatch)

    def work(_rank, run, gpu):
        limits = []
        for _ in range(500):
            with run.step():
                limits.append(job.gpus[0].limit_w)
                gpu.spend(0.2, 100)
        return run._limit._held_w, reported(run)

    (held, report), (same, _report) = job.run(
        work, groups=lambda rank, gpu: job.group(rank, None if rank else gpu)
    )
    assert held == same
    assert report.energy_j == pytest.approx(job.gpus[0].energy_j)


def test_workers_of_ray_train_choose_together_too(monkeypatch):
    job = Job(2, monkeypatch)
    limits, same = job.run(
        lambda _rank, run, gpu: limits_of(run, gpu, 400),
        groups=lambda rank, gpu: DistributedGpuGroup(gpu.group(), job.gather_of(rank)),
    )
    assert limits == same
    assert len(set(limits)) >= 3


def test_a_batch_that_cannot_be_split_is_refused(monkeypatch):
    with pytest.raises(BadInput, match="63 samples per step cannot be split over 2 processes"):
        Job(2, monkeypatch).run(lambda *_: None, own_plan(63))
    assert Job(2, monkeypatch).run(lambda _rank, run, _gpu: run.micro_batch_size) == [32, 32]


# --- which process this is ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}, (5, 1, 8, 4)),
        ({"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_TASKS": "4"}, (3, 1, 4, 0)),
        (
            {"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "0", "OMPI_COMM_WORLD_SIZE": "4"},
            (2, 0, 4, 0),
        ),
        ({"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALRANKID": "1"}, (1, 1, 2, 0)),
        ({"PMI_RANK": "5", "PMI_SIZE": "8", "MPI_LOCALNRANKS": "4"}, (5, 1, 8, 4)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0"}, None),  # a batch script
        ({"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}, None),
        ({"RANK": "0", "WORLD_SIZE": "many"}, None),
        ({}, None),
        (  # torchrun started by srun, once per node
            {
                "SLURM_PROCID": "1",
                "SLURM_LOCALID": "0",
                "SLURM_STEP_NUM_TASKS": "2",
                "RANK": "5",
                "LOCAL_RANK": "1",
                "WORLD_SIZE": "8",
            },
            (5, 1, 8, 0),
        ),
    ],
)
def test_ranks_are_found_in_the_variables_of_each_launcher(env, expected):
    found = Ranks.from_environment(env)
    known = found and (found.rank, found.local_rank, found.world_size, found.local_world_size)
    assert known == expected


@pytest.mark.parametrize(
    ("visible", "local_rank", "gpus", "by_hand", "chosen"),
    [
        (4, 2, 1, False, [2]),
        (4, 1, 2, False, [2, 3]),
        (1, 3, 1, True, [0]),  # CUDA_VISIBLE_DEVICES per process
        (2, 1, 2, True, [0, 1]),
        (1, 1, 1, False, []),  # two processes, one GPU: the first has it
        (1, 0, 1, False, [0]),
        (2, 2, 1, False, []),
        (8, 0, 8, False, list(range(8))),
    ],
)
def test_each_process_has_its_own_gpus(visible, local_rank, gpus, by_hand, chosen):
    ranks = Ranks(rank=local_rank, local_rank=local_rank, world_size=8)
    assert list(gpus_of_rank(range(visible), ranks, gpus, by_hand=by_hand)) == chosen


@pytest.fixture
def launched(monkeypatch):
    """Makes this process one of several, as torchrun does, on a machine with eight simulated GPUs."""

    def launch(rank, world_size=2):
        monkeypatch.setenv("ZEUS_RAY_GPU", "simulated:V100")
        for name, value in {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world_size}.items():
            monkeypatch.setenv(name, str(value))

    return launch


def test_one_process_may_measure_for_all(launched):
    launched(0)
    with zeus.session(batch_size=100, gpus=8) as run:
        assert (len(run._group), run.processes, run.micro_batch_size) == (8, 1, 100)
    launched(1)
    with pytest.raises(BadInput, match="in rank 0 alone"), zeus.session(batch_size=100, gpus=8):
        pass


def test_each_process_has_its_share_of_the_batch_and_its_gpu(launched, monkeypatch):
    launched(1)
    monkeypatch.setattr("zeus_ray.training.run_of_one_rank.find_gather", lambda _ranks: None)
    with zeus.session(batch_size=100) as run:
        assert (run.micro_batch_size, run._group.mine.leases[0].uuid) == (50, "SIM-V100-1")


def test_a_pipeline_stage_with_less_to_do_gets_a_lower_limit(monkeypatch):
    job, shares = Job(2, monkeypatch, slope=0.6), (1.0, 0.6)

    def in_stage(rank, gpu):
        group = job.group(rank, gpu)
        plan = own_plan(64, eta=0.3, stage=rank)
        return RankRun(group.ranks, plan, group)

    def work(rank):
        gpu = job.gpus[rank]
        job.mine.gpu = gpu
        run = in_stage(rank, gpu)
        for _ in range(600):
            with run.step():
                held_w = run._limit._held_w
                busy_s = [share * gpu.time_s(w) for share, w in zip(shares, held_w, strict=True)]
                gpu.spend(busy_s[rank], gpu.power_w(held_w[rank]))
                run.computed(busy_s[rank])
                gpu.spend(max(busy_s) - busy_s[rank], 0.35 * gpu.uncapped_w)
        return run._limit._held_w, gpu.limit_w

    with ThreadPoolExecutor(2) as pool:
        (held_w, heavy_w), (same_w, light_w) = pool.map(work, (0, 1))
    assert held_w == same_w == (heavy_w, light_w)
    assert light_w < heavy_w
    gpu = job.gpus[0]
    assert shares[1] * gpu.time_s(light_w) <= shares[0] * gpu.time_s(heavy_w) * 1.01
