"""The kernel's power zones (RAPL), as files in a folder of the test."""


def zone(root, folder, name, energy_uj, range_uj=1_000_000):
    """A zone, such as ``intel-rapl:0``; returns the file of its counter."""
    made = root / folder
    made.mkdir(parents=True, exist_ok=True)
    for file, text in (("name", name), ("energy_uj", energy_uj), ("max_energy_range_uj", range_uj)):
        (made / file).write_text(f"{text}\n")
    return made / "energy_uj"


def advance(counter, joules):
    """Let a counter go on by so much, at once, as the kernel's: a thread that reads it finds it whole."""
    draft = counter.with_name("draft")
    draft.write_text(str(int(counter.read_text()) + round(joules * 1e6)))
    draft.replace(counter)
