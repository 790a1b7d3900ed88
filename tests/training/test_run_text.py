"""A run in words: units, and what was simulated or not measured."""

from runs import NO_GPU, plan, reported, train

from zeus_ray.training.training_run import TrainingRun


def test_a_run_says_what_it_has_used_and_that_it_is_simulated(group):
    run = TrainingRun(plan(), group)
    assert "batch size: 100" in repr(run)
    train(run, 1)
    reported(run)
    assert "epochs: 1.00" in repr(run)
    assert "energy: 27.0 kJ; time: " in repr(run)
    assert "SIMULATED" in run._repr_html_()
    assert max(len(word) for word in repr(run).split()) < 15  # no number of fifteen digits


def test_without_a_gpu_there_are_no_joules():
    run = TrainingRun(plan(), NO_GPU)
    train(run, 1)
    reported(run)
    assert "NO GPU WAS MEASURED" in repr(run)
    assert "energy:" not in repr(run)
