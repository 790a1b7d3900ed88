"""How much is tried: in `make test` as much as a test asks for, in `pytest` alone a part."""

from hypothesis import settings

# No deadline: on a busy machine any example may take long.
settings.register_profile("quick", deadline=None, max_examples=5)
settings.register_profile("thorough", deadline=None, max_examples=100)


def examples(thorough, **options):
    """For a test whose examples take long, or that needs many: so many in `make test`."""
    share = settings.default.max_examples / 100
    return settings(max_examples=max(5, round(share * thorough)), **options)


def cases(values):
    """For a parametrised test of many cases: all in `make test`, in `pytest` alone every fifth."""
    values = list(values)
    return values if settings.default.max_examples >= 100 else values[::5]
