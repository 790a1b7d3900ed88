"""A run on a simulated GPU, without Ray, whose calls are recorded."""

import pytest


@pytest.fixture
def session(state_dir, monkeypatch):  # noqa: ARG001 — which unsets the variable first
    import zeus_ray as zeus

    monkeypatch.setenv("ZEUS_RAY_GPU", "simulated:V100")
    return zeus.session


@pytest.fixture
def watch(monkeypatch):
    """``watch(run)``: the names of the run's methods as they are called; they still run."""

    def of(run):
        calls = []

        def recorded(name, method):
            def call(*arguments, **options):
                calls.append(name)
                return method(*arguments, **options)

            return call

        for name in ("begin_epoch", "before_step", "after_step", "pause", "resume", "end_epoch", "report"):
            monkeypatch.setattr(run, name, recorded(name, getattr(run, name)))
        return calls

    return of
