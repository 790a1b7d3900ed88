"""A run on a simulated board, without Ray, that remembers in which order things happened."""

import pytest


@pytest.fixture
def session(state_dir, monkeypatch):  # noqa: ARG001 — which unsets the variable first
    import zeus_ray as zeus

    monkeypatch.setenv("ZEUS_RAY_GPU", "simulated:V100")
    return zeus.session


@pytest.fixture
def watch(monkeypatch):
    """``watch(run)``: the list of what the run was told, real as it is."""

    def of(run):
        told = []

        def noting(name, method):
            def call(*arguments, **options):
                told.append(name)
                return method(*arguments, **options)

            return call

        for name in ("begin_epoch", "before_step", "after_step", "pause", "resume", "end_epoch", "report"):
            monkeypatch.setattr(run, name, noting(name, getattr(run, name)))
        return told

    return of
