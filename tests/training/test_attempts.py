"""The attempts of one trial: each adds to the energy, time, epochs and profiles of those before it."""

import math

import pytest
from runs import LIMITS_W, leased, plan, reported, train

from zeus_ray.gpus.simulated_gpu import SimulatedGpu
from zeus_ray.leases.lease_manager_of_one_gpu import LeaseManager
from zeus_ray.records import PowerProfile, from_json
from zeus_ray.store.storage import LocalFolder
from zeus_ray.training.training_run import TrainingRun
from zeus_ray.training.usage_of_earlier_attempts import AttemptEntry, AttemptLog, AttemptUsage


@pytest.fixture
def folder(tmp_path):
    return LocalFolder(tmp_path / "trial")


def attempt(folder, tmp_path, *, card="V100", from_checkpoint=False, count=20, probes=LIMITS_W):
    """One attempt of a trial in a process of its own, as far as GPUs and the attempt log can tell."""
    manager = LeaseManager(SimulatedGpu.open(card, 0), state_dir=tmp_path / "state", watchdog=False)
    group = leased(manager)
    run = TrainingRun(
        plan(probe_limits_w=probes), group, attempts=AttemptLog.open(folder), window_s=1.0, settle_s=0.0
    )
    run.begin(from_checkpoint=from_checkpoint)
    train(run, count)
    report = reported(run)
    group.release()
    manager.close()
    return run, report


def test_a_second_attempt_adds_to_the_first(group, folder):
    first = TrainingRun(plan(), group, attempts=AttemptLog.open(folder))
    train(first, 3)
    before = reported(first)
    after = reported(TrainingRun(plan(), group, attempts=AttemptLog.open(folder)))
    assert after.attempt == 2
    # The lease went on, so the second attempt reads the first one's energy again on top of the log's.
    assert after.energy_j == pytest.approx(2 * before.energy_j, rel=1e-3)
    stored = from_json(AttemptEntry, folder.read("zeus-attempt-1.json"))
    assert stored.energy_j == before.energy_j
    assert stored.version == 1


def test_an_attempt_that_was_killed_counts_to_its_end(folder):
    AttemptLog.open(folder).write(
        AttemptUsage(energy_j=100.0, time_s=10.0), samples=0, gpu="", profile=None, held=[("actor", "lease")]
    )
    asked = []

    def final(held, energy_j=150.0):
        asked.append(held)
        return AttemptUsage(energy_j=energy_j, time_s=14.0, carbon_g=3.0, price=math.nan)

    unknown = AttemptLog.open(folder)
    assert (unknown.before.energy_j, unknown.attempt) == (100.0, 2)
    assert AttemptLog.open(folder, final_usage=lambda held: final(held, math.nan)).before.energy_j == 100.0
    before = AttemptLog.open(folder, final_usage=final).before
    assert (before.energy_j, before.time_s, before.carbon_g) == (150.0, 14.0, 3.0)
    assert AttemptLog.open(folder, final_usage=final).before.energy_j == 150.0  # stored, and not asked again
    assert asked == [(("actor", "lease"),)] * 2


def test_grams_and_money_are_added_up_apart(folder):
    log = AttemptLog.open(folder)
    log.write(
        AttemptUsage(energy_j=1.0, time_s=1.0, carbon_g=math.nan, price=2.0), samples=0, gpu="", profile=None
    )
    before = AttemptLog.open(folder).before.plus(
        AttemptUsage(energy_j=1.0, time_s=1.0, carbon_g=math.nan, price=3.0)
    )
    assert before.price == 5.0
    assert math.isnan(before.carbon_g)


def test_an_attempt_from_a_checkpoint_adds_to_the_epochs_and_does_not_profile_again(folder, tmp_path):
    _run, first = attempt(folder, tmp_path)
    run, second = attempt(folder, tmp_path, from_checkpoint=True, count=5)
    assert (second.attempt, second.epochs) == (2, 20 + 5)
    assert second.profile == first.profile != ""
    assert second.power_limit_w == first.power_limit_w
    assert second.energy_j > first.energy_j * 21 / 20  # the profile costs more than the epochs after it
    assert run.note == ""
    _run, third = attempt(folder, tmp_path, count=1)
    assert (third.attempt, third.epochs) == (3, 1)  # from the beginning, no checkpoint
    assert third.energy_j > second.energy_j


def test_the_next_attempt_probes_only_the_limits_that_are_left(gpu, group, folder):
    first = TrainingRun(plan(probe_limits_w=LIMITS_W), group, attempts=AttemptLog.open(folder))
    for _ in range(3):  # no steps: one limit per report, and the first report only begins a window
        first.report({})
    limits = []
    second = TrainingRun(plan(probe_limits_w=LIMITS_W), group, attempts=AttemptLog.open(folder))
    while not reported(second).profile:
        limits.append(gpu.power_limit_w())
    assert limits == list(LIMITS_W[2:])
    profile = from_json(PowerProfile, reported(second).profile)
    assert [point.power_limit_w for point in profile.points] == list(LIMITS_W)


def test_an_attempt_on_another_kind_of_gpu_says_so_and_profiles_there(folder, tmp_path):
    _run, first = attempt(folder, tmp_path)
    run, second = attempt(folder, tmp_path, card="A40", from_checkpoint=True)
    assert second.moved_from == first.gpu
    assert from_json(PowerProfile, second.profile).gpu == second.gpu != first.gpu
    assert f"began on {first.gpu} and continues on {second.gpu}" in run.note
    assert second.energy_j > first.energy_j
