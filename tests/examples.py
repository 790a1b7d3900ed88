"""How many examples Hypothesis tries: in `make test` as many as a test asks for, in `pytest` alone a part."""

from hypothesis import settings

# A busy machine is no counterexample.
settings.register_profile("quick", deadline=None, max_examples=10)
settings.register_profile("thorough", deadline=None, max_examples=100)


def examples(thorough, **options):
    """For a test whose examples are dear, or that needs many: so many in `make test`."""
    share = settings.default.max_examples / 100
    return settings(max_examples=max(5, round(share * thorough)), **options)
