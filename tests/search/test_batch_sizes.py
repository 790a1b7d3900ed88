"""What fits in memory: found from the default outwards, and run in parts where that is allowed."""

import itertools
import json
import math

import pytest
from driving import LIMITS_W, TARGET, Work
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.errors import BadInput
from zeus_ray.records import Knobs, Measurement, Outcome, StopReason, Target
from zeus_ray.search import Search
from zeus_ray.search.feasible_batch_sizes import FeasibleSizes, powers_of_two

pytestmark = pytest.mark.slow

OOM = StopReason.OUT_OF_MEMORY


class Model:
    """A job whose memory grows with the batch size, and which larger batches suit ever better."""

    def __init__(self, fits_at_once):
        self.fits_at_once, self.failures, self.ran = fits_at_once, 0, []
        self.work = Work(noise=0.0)

    def run(self, search, knobs):
        if knobs.batch_size // knobs.accumulate > self.fits_at_once:
            self.failures += 1
            search.tell(Outcome(knobs=knobs, reached=False, epochs=0.0, measurement=Measurement(), stop=OOM))
            return
        self.ran.append((knobs.batch_size, knobs.accumulate))
        self.work.run(search, knobs)


def search(**options):
    defaults = {"default_batch_size": 32, "target": TARGET, "power_limits_w": LIMITS_W, "recurring": False}
    return Search(**{**defaults, "batch_sizes": "auto", **options})


def ended(search, model):
    while (knobs := search.ask()) is not None:
        model.run(search, knobs)
        search = Search.from_state(json.loads(json.dumps(search.state())))
    return search


@pytest.mark.parametrize(
    ("default", "smallest", "largest"), [(32, 1, 2048), (100, 25, 6400), (7, 7, 448), (1, 1, 64)]
)
def test_a_range_is_the_default_times_powers_of_two(default, smallest, largest):
    sizes = powers_of_two(default)
    assert (sizes[0], sizes[-1]) == (smallest, largest)
    assert all(b == 2 * a for a, b in itertools.pairwise(sizes))


@pytest.mark.parametrize("policy", ["zeus-ray", "nsdi23"])
@pytest.mark.parametrize("fits_at_once", [32, 70, 128, 300])
def test_the_largest_that_fits_is_found_with_at_most_two_failures(policy, fits_at_once, monkeypatch):
    import driving

    monkeypatch.setattr(driving, "epochs_at", lambda _size: 20.0)  # so the larger, the cheaper
    model = Model(fits_at_once)
    done = ended(search(policy=policy), model)
    largest = max(b for b in powers_of_two(32) if b <= fits_at_once)
    assert model.failures <= 2
    assert max(size for size, _parts in model.ran) == largest
    assert done.best().batch_size == largest


def test_a_default_that_does_not_fit_is_halved_until_it_does():
    model = Model(9)
    done = ended(search(), model)
    assert done.best().batch_size == 8
    assert model.failures == 2  # 32 and 16


def test_what_does_not_fit_at_once_runs_in_parts(monkeypatch):
    import driving

    monkeypatch.setattr(driving, "epochs_at", lambda size: 5.0 + 4 * abs(math.log2(size / 256)))
    model = Model(64)
    done = ended(search(accumulate=True), model)
    assert done.best().batch_size == 256
    assert (256, 4) in model.ran
    assert all(parts == max(1, size // 64) for size, parts in model.ran)
    assert model.failures <= 2


def test_a_default_that_does_not_fit_at_once_still_sets_the_target_in_parts():
    model = Model(8)
    done = ended(search(accumulate=True, target=Target("accuracy"), max_epochs=30), model)
    assert (32, 4) in model.ran
    assert done.target.value == pytest.approx(0.91, rel=0.01)


def test_a_part_is_shared_out_equally_over_the_gpus():
    sizes = FeasibleSizes((12,), 12, grows=False, accumulate=True, gpus=2)
    sizes.observe(Knobs(run_id="1", batch_size=12), OOM)
    assert sizes.micro_batches(12) == 2
    sizes.observe(Knobs(run_id="2", batch_size=12, accumulate=2), OOM)
    assert sizes.micro_batches(12) == 3  # of 4; 3 samples a part would not be


@given(
    size=st.integers(1, 4096),
    ran=st.lists(st.tuples(st.integers(1, 4096), st.booleans())),
    parts=st.booleans(),
)
@examples(200)
def test_nothing_that_ran_out_of_memory_is_offered_again(size, ran, parts):
    sizes = FeasibleSizes((size,), size, grows=False, accumulate=parts, gpus=1)
    for batch_size, fits in ran:
        sizes.observe(Knobs(run_id="", batch_size=batch_size), None if fits else OOM)
    too_large = min((b for b, fits in ran if not fits), default=math.inf)
    micro_batches = sizes.micro_batches(size)
    assert (size in sizes.now()) == bool(micro_batches)
    if micro_batches:
        assert size % micro_batches == 0
        assert size // micro_batches < too_large
        assert micro_batches == 1 or parts


@pytest.mark.parametrize("given_sizes", ["automatic", ""])
def test_another_word_than_auto_is_refused(given_sizes):
    with pytest.raises(BadInput, match="'auto'"):
        search(batch_sizes=given_sizes)
