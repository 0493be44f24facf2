"""The node's application: builds everything, chooses the board, runs until reset.

Not protocol or lighting logic: it only knows who needs whom.
"""

import asyncio
import gc

from micropython import const

from node import board as boards
from node.coap.client import RequestRefused
from node.coap.clock import TickClock
from node.coap.endpoint import Endpoint
from node.coap.message import UNAVAILABLE
from node.emergency_call import EmergencyCall
from node.lighting.controller import LampController
from node.lighting.program import Program
from node.lwm2m.account import Account, read_blob, read_integer
from node.lwm2m.client import Client
from node.lwm2m.delivery import Delivery
from node.lwm2m.dispatch import Dispatcher
from node.lwm2m.objects import command_guard
from node.lwm2m.objects.device import Device
from node.lwm2m.objects.electrical import Electrical
from node.lwm2m.objects.emergency_call import EmergencyCallObject
from node.lwm2m.objects.firmware_update import FirmwareUpdate
from node.lwm2m.objects.lamp import Lamp
from node.lwm2m.objects.lighting_program import LightingProgram
from node.lwm2m.objects.measurements import AirQuality, Humidity, Illuminance, Temperature
from node.lwm2m.objects.push_button import PushButton
from node.lwm2m.objects.release import Release
from node.lwm2m.objects.report import Report
from node.lwm2m.objects.server import Server
from node.lwm2m.reports import Reporter
from node.oscore.context import SecurityContext
from node.ota.errors import FetchRefused
from node.ota.slots import Slots
from node.ota.trust import Trust
from node.store.report_queue import ReportQueue
from node.supervisor import Supervisor
from node.updates import Updates, heap_free_bytes
from node.version import SEQUENCE, VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DATA = "data"
_WATCHDOG_MS = const(30000)
_LAMP_STALL_MS = const(15000)
_RESET_DELAY_MS = const(1000)
_SEVERITY_INFORMATION = const(1)


class App:
    """Everything a node consists of, wired.

    Args:
        board: See `node.board`.
    """

    def __init__(self, board: "Any") -> None:
        self._board = board
        self.dispatcher: Any = None
        identity = board.open_nvs("identity")
        settings = board.open_nvs("settings")
        boot = board.open_nvs("boot")
        mac = read_blob(identity, "mac")
        boot_count = read_integer(boot, "count", 0)
        profile = read_blob(identity, "profile").decode() or "pole-basic"
        # A report follows each fade, so that whoever commanded it soon sees the lamp's new power.
        self._wake_sampling = asyncio.Event()
        program = Program(_DATA + "/lighting.txt")
        self.lamp = LampController(
            board, program, lambda: self._changed(Lamp.ID), self._wake_sampling.set
        )
        self.call = EmergencyCall(board, self.lamp, self._put_call, self._call_changed)
        self.slots = Slots(boot, partition=board.Partition)
        self.queue = ReportQueue(_DATA)
        self.account = Account(board.open_nvs("account"))
        self.updates = Updates(
            self.slots,
            self._fetch,
            Trust(read_blob(identity, "relkeys"), read_integer(identity, "threshold", 1)).load(
                identity, board.unix_s, mac
            ),
            profile,
            SEQUENCE,
            self._update_changed,
            self._reset_now,
            self._reason_to_wait,
        )
        self.report = Report(boot_count, settings, self._wake_sampling.set)
        self.electrical = Electrical()
        self.temperature = Temperature()
        self.humidity = Humidity()
        self.air_quality = AirQuality()
        self.illuminance = Illuminance()
        self.dispatcher = Dispatcher(
            [
                Server(
                    self.account,
                    lambda: self.client.update(),
                    lambda: self.client.bootstrap_again(),
                ),
                Device(
                    mac.hex(),
                    VERSION,
                    board.NAME,
                    heap_free_bytes,
                    board.unix_s,
                    self._set_time,
                    self._reset_soon,
                    lambda: self.client.forget(),
                ),
                FirmwareUpdate(self.updates),
                Lamp(self.lamp, settings),
                LightingProgram(program, board.unix_s, self.lamp.program_changed),
                PushButton(self.call),
                EmergencyCallObject(self.call),
                self.electrical,
                self.temperature,
                self.humidity,
                self.air_quality,
                self.illuminance,
                self.report,
                Release(SEQUENCE, self.slots, self.updates),
                command_guard,
            ],
            board.unix_s,
        )
        self.client = Client(board, self.account, self.dispatcher, self._endpoint, SecurityContext)
        self.reporter = Reporter(
            profile, self.dispatcher, self.report, board.monotonic_s, board.unix_s
        )
        self.delivery = Delivery(self.client, self.account, self.queue, board, boot_count)
        self.supervisor = Supervisor(board.ticks_ms, board.ticks_diff, board.feed_watchdog)
        self._sensors_answer = False
        self._stored_energy_wh = read_integer(settings, "energy_wh", 0)
        self._settings = settings

    async def run(self) -> None:
        """Run until the node resets."""
        board = self._board
        supervisor = self.supervisor
        lamp_task = supervisor.add(
            "lamp", lambda: self.lamp.run(lambda: supervisor.beat(lamp_task)), _LAMP_STALL_MS
        )
        supervisor.add("emergency call", self.call.run)
        supervisor.add("beacon", self.call.run_beacon)
        supervisor.add("registration", self.client.run)
        supervisor.add("sampling", self._sample_for_ever)
        supervisor.add("reports", self.delivery.run_reports)
        supervisor.add("events", self.delivery.run_events)
        supervisor.add("calls", self.delivery.run_calls)
        supervisor.add("updates", self.updates.run)
        supervisor.add("trial", self._judge_trial)
        self._note_event("node.rebooted", _SEVERITY_INFORMATION, board.reset_cause())
        board.start_watchdog(_WATCHDOG_MS)
        gc.collect()
        print("node", self.client.endpoint_name, "release", VERSION, "heap free", gc.mem_free())
        await supervisor.run()

    async def _sample_for_ever(self) -> None:
        """Measure and report, first at once and then at the interval."""
        while True:
            self._sample()
            self.queue.put(self.reporter.take(self.queue.dropped))
            self.delivery.wake()
            self.dispatcher.changed()
            # Between reports is the time to tidy up, so that encoding finds the heap in order.
            gc.collect()
            try:
                await asyncio.wait_for_ms(self._wake_sampling.wait(), self.report.interval_s * 1000)
            except asyncio.TimeoutError:
                pass
            self._wake_sampling.clear()

    def _sample(self) -> None:
        board = self._board
        answers = True
        try:
            energy_mwh = board.energy_mwh()
            if energy_mwh is not None:
                energy_mwh += self._stored_energy_wh * 1000
            self.electrical.put(*board.read_meter(), energy_mwh)
        except OSError as error:
            answers = False
            self.electrical.put(None, None, None, None, None)
            print("meter:", repr(error))
        try:
            air = board.read_air()
        except OSError as error:
            answers = False
            air = (None, None, None, None)
            print("air sensors:", repr(error))
        sensed: Any = (self.temperature, self.humidity, self.air_quality, self.illuminance)
        for thing, value in zip(sensed, air):
            thing.value = value
        self._sensors_answer = answers

    async def _judge_trial(self) -> None:
        board = self._board
        await self.updates.run_trial(self._missing_health, (board.ticks_ms, board.ticks_diff))

    def _missing_health(self) -> str:
        """Say what a release on trial still lacks, an empty string for nothing."""
        if not self.client.has_registered:
            return "not registered"
        if not self.delivery.acknowledged:
            return "no report acknowledged"
        return "" if self._sensors_answer else "a sensor does not answer"

    async def _fetch(self, path: "tuple[str, ...]", sink: "Any", *, start_block: int) -> int:
        try:
            return await self.client.download(path, sink, start_block)
        except RequestRefused as refusal:
            raise FetchRefused(refusal.args[0] == UNAVAILABLE)

    def _endpoint(self, transport: "Any", handler: "Any") -> Endpoint:
        return Endpoint(transport, TickClock(), self._board.random_bytes, handler)

    def _note_event(self, kind: str, severity: int, detail: str) -> None:
        try:
            self.queue.put_event(self.reporter.event(kind, severity, detail))
        except OSError as error:
            print("event", kind, "not kept:", repr(error))
        self.delivery.wake()

    def _put_call(self, kind: str, severity: int, detail: str) -> None:
        self.queue.put_call(self.reporter.event(kind, severity, detail))
        self.delivery.wake()
        self.client.hurry()

    def _call_changed(self) -> None:
        self._changed(PushButton.ID)
        self._changed(EmergencyCallObject.ID)

    def _reason_to_wait(self) -> str:
        """Say why no release may be installed now, an empty string for nothing."""
        return "an emergency call is active" if self.call.is_active else ""

    def _changed(self, object_id: int) -> None:
        # The lamp is lit, and a call resumed, before there is a dispatcher.
        if self.dispatcher:
            self.dispatcher.changed(object_id)

    def _update_changed(self) -> None:
        self._changed(FirmwareUpdate.ID)
        self._changed(Release.ID)

    def _set_time(self, unix_s: int) -> None:
        self._board.set_unix_s(unix_s)

    def _reset_soon(self) -> None:
        self.supervisor.add("reset", self._reset_after_answer)

    async def _reset_after_answer(self) -> None:
        await asyncio.sleep_ms(_RESET_DELAY_MS)
        self._reset_now()

    def _reset_now(self) -> None:
        """Keep what a planned reset must not lose, then reset."""
        self.queue.spill()
        energy_mwh = self._board.energy_mwh()
        if energy_mwh:
            self._settings.set_i32("energy_wh", self._stored_energy_wh + energy_mwh // 1000)
            self._settings.commit()
        print("reset")
        self._board.reset()


def run() -> None:
    """Run the node; a reset ends it."""
    asyncio.run(App(boards.current()).run())
