"""Every kind of fault that needs no Ray."""

import daemon_faults
import driver_answer_faults
import driver_faults
import energy_faults
import hang_faults
import history_faults
import node_faults
import other_user_faults
import process_faults
import process_tree_faults
import resource_faults
import state_folder_faults
import training_faults
import watchdog_faults

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
        watchdog_faults,
        resource_faults,
        process_tree_faults,
        driver_answer_faults,
        daemon_faults,
        node_faults,
    )
    for kind in module.KINDS
)
LONG_KINDS = driver_faults.LONG_KINDS
"""Kinds of minutes each, which no test does."""
