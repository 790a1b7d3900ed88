"""Every kind of fault that needs no Ray."""

import driver_faults
import energy_faults
import hang_faults
import history_faults
import other_user_faults
import process_faults
import state_folder_faults
import training_faults

PROCESS_KINDS = tuple(
    kind
    for module in (
        process_faults,
        driver_faults,
        hang_faults,
        state_folder_faults,
        other_user_faults,
        energy_faults,
        history_faults,
        training_faults,
    )
    for kind in module.KINDS
)
LONG_KINDS = driver_faults.LONG_KINDS
"""Kinds of minutes each, which no test does."""
