"""One Ray actor per GPU, found or created where a trial runs."""
