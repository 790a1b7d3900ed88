"""``zeus-ray measure``: the energy of a command that stays as it is; no power limit is changed."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shlex
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from zeus_ray.errors import DeviceError
from zeus_ray.gpus.energy.cpu_energy import CpuEnergyMeter
from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.jobs.command_process import CommandProcess, print_line
from zeus_ray.jobs.command_supervisor import lease_visible
from zeus_ray.jobs.signals_passed_on import SignalsPassedOn
from zeus_ray.jobs.supervision_summary import with_null
from zeus_ray.quantity_format import counted, energy, power, seconds, three_digits
from zeus_ray.records import NAN, Plan
from zeus_ray.records.serialization import to_plain
from zeus_ray.reporting.emissions_csv import EmissionsRow
from zeus_ray.training.samples_and_time import RunClock
from zeus_ray.training.where_run_leases_and_reports import lease_or_none


@dataclass(frozen=True, kw_only=True)
class CommandEnergy:
    """What a command used. A number that is not known is NaN.

    Attributes:
        command: program and arguments.
        exit_code: as a shell shows it.
        gpus: GPUs that it saw.
        gpu: their kind.
        measured_by: where the GPUs' energy comes from.
        simulated: whether no GPU was measured, but a simulated one under full load.
        energy_j: of these GPUs, from the start of the command to its end (J).
        energy_j_err: the true energy is within this of ``energy_j`` (J).
        time_s: from the start of the command to its end (s).
        average_power_w: of all these GPUs together (W).
        cpu_energy_j: of the machine's CPUs, whoever used them (J); not part of ``energy_j``.
        dram_energy_j: of the machine's memory likewise (J).
        carbon_g: emitted by ``energy_j``, at the time it was used (g); NaN without a signal of intensity.
        price: what ``energy_j`` cost (currency of the signal); NaN without a signal of prices.
        signal: the signal of carbon intensity or price; "" where none was given.
    """

    command: tuple[str, ...]
    exit_code: int
    gpus: int
    gpu: str
    measured_by: str
    simulated: bool
    energy_j: float
    energy_j_err: float
    time_s: float
    average_power_w: float
    cpu_energy_j: float
    dram_energy_j: float
    carbon_g: float
    price: float
    signal: str

    def to_text(self) -> str:
        """As one line of JSON, in which what is not known is null."""
        return json.dumps(with_null(to_plain(self)), ensure_ascii=False)

    def emissions_row(self) -> EmissionsRow:
        """As a row of ``zeus_emissions.csv``; the command ended now."""
        return EmissionsRow(
            ended_at_s=time.time(),
            project=shlex.join(self.command),
            run_id=uuid.uuid4().hex,
            time_s=self.time_s,
            energy_j=self.energy_j,
            cpu_energy_j=self.cpu_energy_j,
            dram_energy_j=self.dram_energy_j,
            carbon_g=self.carbon_g,
            gpus=float(self.gpus),
            gpu=self.gpu,
            signal=self.signal,
            simulated=self.simulated,
        )

    def sentences(self) -> Iterator[str]:
        """For people, one sentence a line."""
        if not self.gpus:
            yield f"{seconds(self.time_s)}; no GPU was measured"
        else:
            by = "SIMULATED, full load" if self.simulated else f"by {self.measured_by}"
            yield (
                f"{energy(self.energy_j)} ± {energy(self.energy_j_err)} in {seconds(self.time_s)}, "
                f"{power(self.average_power_w)} on average, on {counted(self.gpus, 'GPU')} ({self.gpu}), {by}"
            )
        if math.isnan(self.cpu_energy_j):
            yield (
                "energy of the CPUs is not measured: /sys/class/powercap has no counter of theirs, or one "
                "that only root may read (chmod a+r /sys/class/powercap/*/energy_uj allows it)"
            )
        else:
            memory = "" if math.isnan(self.dram_energy_j) else f", its memory {energy(self.dram_energy_j)}"
            yield f"besides, the machine's CPUs took {energy(self.cpu_energy_j)}{memory}, whoever used them"
        if not math.isnan(self.carbon_g):
            yield f"{three_digits(self.carbon_g)} g CO2eq by {self.signal}"
        if not math.isnan(self.price):
            yield f"{three_digits(self.price)} (currency of {self.signal})"


def energy_of_command(
    command: Sequence[str], plan: Plan, *, env: Mapping[str, str], every_s: float = math.inf
) -> CommandEnergy:
    """Run a command to its own end and measure the GPUs that it sees. Signals go to the command.

    Args:
        command: program and arguments.
        plan: ``emissions`` says how its energy is priced; no limit of it is set.
        env: variables that the command gets besides those of this process.
        every_s: seconds between the rows of a table on standard error; inf: none.

    Raises:
        BadInput: no such program or GPU, or this is one of several processes of a launcher.
    """
    plan = dataclasses.replace(plan, power_control="off")
    seen = {**os.environ, **env}
    group = lease_or_none(lambda wanted, _gpus: lease_visible(wanted, seen), plan, 0)
    try:
        if group.why_none:
            print_line(group.why_none)
        clock, cpu = _SafeClock(RunClock(group, plan.knobs.batch_size)), CpuEnergyMeter()
        with SignalsPassedOn() as signals:
            process = CommandProcess(command, env)
            signals.to(process)
            _follow(process, clock, cpu, every_s)
        reading = clock.read()
        drawn = cpu.read()
        return CommandEnergy(
            command=tuple(command),
            exit_code=process.exit_code,
            gpus=len(group),
            gpu=group.gpu,
            measured_by=reading.measured_by or group.measured_by.value,
            simulated=group.virtual,
            energy_j=reading.energy_j,
            energy_j_err=reading.energy_j_err,
            time_s=reading.time_s,
            average_power_w=reading.energy_j / reading.time_s if reading.time_s > 0 else NAN,
            cpu_energy_j=drawn.cpu_energy_j,
            dram_energy_j=drawn.dram_energy_j,
            carbon_g=reading.carbon_g,
            price=reading.price,
            signal=plan.emissions.signal if plan.emissions else "",
        )
    finally:
        group.release()


class _SafeClock:
    """The readings of a clock; the last one again, and once a sentence, from when a GPU stops answering."""

    def __init__(self, clock: RunClock) -> None:
        self._clock = clock
        self._failed = False

    @property
    def last(self) -> Reading:
        return self._clock.last

    def read(self) -> Reading:
        if not self._failed:
            try:
                return self._clock.edge_by_wall()
            except DeviceError as error:
                self._failed = True
                print_line(f"the command goes on, but is not measured any more: {error}")
        return self._clock.last


def _follow(process: CommandProcess, clock: _SafeClock, cpu: CpuEnergyMeter, every_s: float) -> None:
    """To the end of the command, with a row of the table now and then."""
    before, next_s = clock.last, time.monotonic() + every_s
    for line in process.lines():
        if line is None:
            cpu.read()  # so that no counter wraps unseen
        if time.monotonic() < next_s:
            continue
        if before is clock.last and before.time_s < every_s:
            print_line("     time       energy    average power")
        next_s += every_s
        now = clock.read()
        passed_s = now.time_s - before.time_s
        watts = power((now.energy_j - before.energy_j) / passed_s) if passed_s > 0 else "—"
        print_line(f"{seconds(now.time_s):>9} {energy(now.energy_j):>12} {watts:>16}")
        before = now
