"""Ray Train's session without a cluster; with one it is tested in tests/actors/test_train.py."""

import pickle

import pytest

pytestmark = pytest.mark.frameworks
pytest.importorskip("torch")
pytest.importorskip("ray.train")

from zeus_ray.errors import BadInput, DoesNotFit  # noqa: E402 — after the check that it is there
from zeus_ray.train import torch_trainer  # noqa: E402


def test_outside_a_worker_the_error_names_zeus_ray_session():
    with pytest.raises(BadInput, match=r"zeus_ray\.session"), torch_trainer.session(batch_size=8):
        pass


def test_the_report_of_a_batch_size_that_does_not_fit_survives_pickling():
    error = pickle.loads(pickle.dumps(DoesNotFit("batch size 8 does not fit", {"zeus/batch_size": 8})))  # noqa: S301 — our own
    assert str(error) == "batch size 8 does not fit"
    assert error.result == {"zeus/batch_size": 8}
