"""Saves of an experiment take a bounded share of the time, that in which their files are copied included."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.ray
pytest.importorskip("ray.tune")

from zeus_ray.tune import experiment_save_rate  # noqa: E402
from zeus_ray.tune.experiment_save_rate import REST, BoundedSaves  # noqa: E402


class Storage:
    """Saves that take ``lasts_s`` each, beside what calls them."""

    def __init__(self, monkeypatch, lasts_s):
        self.now_s, self.lasts_s, self.began = 0.0, lasts_s, []
        monkeypatch.setattr(experiment_save_rate.time, "monotonic", lambda: self.now_s)

    def save(self):
        assert not self.is_saving()
        self.began.append(self.now_s)

    def is_saving(self):
        return bool(self.began) and self.now_s < self.began[-1] + self.lasts_s


@given(lasts_s=st.floats(0.01, 20.0), step_s=st.floats(0.01, 5.0))
def test_one_save_after_the_other_and_for_a_bounded_share_of_the_time(lasts_s, step_s):
    with pytest.MonkeyPatch.context() as monkeypatch:
        storage, saves = Storage(monkeypatch, lasts_s), BoundedSaves()
        for _ in range(1000):
            saves.ended()
            saves.save_if_due(storage.save, storage.is_saving)
            storage.now_s += step_s
        apart = [after - before for before, after in zip(storage.began, storage.began[1:], strict=False)]
        assert all(rest >= (REST + 1) * lasts_s - 1e-6 for rest in apart)
        assert storage.began[0] == 0.0
        longest = (REST + 1) * (lasts_s + step_s) + step_s  # the end of a save is seen a step later
        assert all(rest <= longest for rest in apart)


def test_nothing_new_is_not_saved_and_what_comes_during_a_save_is_saved_later(monkeypatch):
    storage, saves = Storage(monkeypatch, 1.0), BoundedSaves()
    saves.save_if_due(storage.save, storage.is_saving)
    assert storage.began == []
    saves.ended()
    saves.save_if_due(storage.save, storage.is_saving)
    saves.ended()
    for now_s in (0.5, 1.0, 20.0, 27.0, 60.0):
        storage.now_s = now_s
        saves.save_if_due(storage.save, storage.is_saving)
    assert storage.began == [0.0, 27.0]
