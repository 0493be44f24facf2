"""The rig's own instruments, without a board: what they read, record and refuse."""

import base64
import datetime
import hashlib
import random
import struct
from importlib.metadata import PackagePath, distribution
from pathlib import Path

import pytest

from hil_tests.instruments.boot_watch import BootWatch, ResetCause, cause_of
from hil_tests.instruments.errors import BootLoopError
from hil_tests.instruments.packet_capture import Datagram, encode_pcap
from hil_tests.instruments.quarantine import Quarantine, QuarantineError
from hil_tests.instruments.udp_link import Disturbance

TODAY = datetime.date(2026, 11, 21)
LISTED = Path(__file__).with_name("rigs") / "quarantine.toml"


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("POWERON_RESET", ResetCause.POWER_ON),
        ("POWERON", ResetCause.POWER_ON),
        ("SW_CPU_RESET", ResetCause.SOFTWARE),
        ("RTC_SW_SYS_RST", ResetCause.SOFTWARE),
        ("TG1WDT_SYS_RESET", ResetCause.WATCHDOG),
        ("RTCWDT_RTC_RESET", ResetCause.WATCHDOG),
        ("RTCWDT_BROWN_OUT_RESET", ResetCause.BROWN_OUT),
        ("DEEPSLEEP_RESET", ResetCause.OTHER),
    ],
)
def test_names_of_all_chips_roms_tell_the_cause(name: str, cause: ResetCause) -> None:
    assert cause_of(name) is cause


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("E (30000) task_wdt: Task watchdog got triggered.", ResetCause.WATCHDOG),
        ("Guru Meditation Error: Core  0 panic'ed (LoadProhibited)", ResetCause.PANIC),
    ],
)
def test_what_was_said_before_a_software_reset_is_its_cause(said: str, cause: ResetCause) -> None:
    watch = BootWatch()
    watch.feed(said, 1.0)
    boot = watch.feed("rst:0xc (SW_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)", 2.0)
    assert boot is not None
    assert boot.cause is cause
    after = watch.feed("rst:0xc (SW_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)", 3.0)
    assert after is not None
    assert after.cause is ResetCause.SOFTWARE


def boots(*at_s: float, name: str = "SW_CPU_RESET") -> BootWatch:
    watch = BootWatch()
    for at in at_s:
        watch.feed(f"rst:0xc ({name}),boot:0x13", at)
    return watch


def test_three_boots_in_a_short_time_are_a_loop_and_power_cycles_are_none() -> None:
    with pytest.raises(BootLoopError, match=r"3 boots in 2.0 s \(software, software, software\)"):
        boots(1, 2, 3).check()
    boots(1, 2).check()
    boots(1, 20, 40).check()
    boots(1, 2, 3, 4, name="POWERON_RESET").check()


def test_a_capture_holds_datagrams_with_addresses_and_marks_lost_ones() -> None:
    capture = encode_pcap(
        [
            Datagram(1.5, ("10.0.0.1", 5000), ("10.0.0.2", 5683), b"abc"),
            Datagram(2.0, ("10.0.0.2", 5683), ("10.0.0.1", 5000), b"", was_lost=True),
        ]
    )
    assert struct.unpack_from("<I", capture)[0] == 0xA1B2C3D4
    seconds, microseconds, size, original = struct.unpack_from("<IIII", capture, 24)
    assert (seconds, microseconds, size, original) == (1, 500_000, 31, 31)
    packet = capture[40:71]
    assert packet[12:20] == bytes([10, 0, 0, 1, 10, 0, 0, 2])
    assert struct.unpack("!HHHH", packet[20:28]) == (5000, 5683, 11, 0)
    assert packet[28:] == b"abc"
    assert packet[1] == 0
    assert capture[71 + 16 + 1] == 0xFF


def test_disturbances_happen_about_as_often_as_they_are_asked_for() -> None:
    chance = random.Random(3)
    lost = sum(not Disturbance(loss=0.3).departures_s(chance) for _ in range(2000))
    assert 500 < lost < 700
    assert Disturbance().departures_s(chance) == [0.0]
    assert len(Disturbance(duplicate=1.0).departures_s(chance)) == 2
    assert Disturbance(delay_s=0.4).departures_s(chance) == [0.4]


ENTRY = """
[[quarantined]]
test = "hil_tests/test_a.py::test_b"
owner = "a@example.org"
reason = "loses a byte"
expires = 2026-11-30
"""


def quarantine(folder: Path, text: str, today: datetime.date = TODAY) -> Quarantine:
    path = folder / "quarantine.toml"
    path.write_text(text)
    return Quarantine.load(path, today)


def test_an_entry_excuses_its_test_with_any_parameters_until_it_expires(tmp_path: Path) -> None:
    listed = quarantine(tmp_path, ENTRY)
    assert listed.entry("hil_tests/test_a.py::test_b[loss]") == listed.entries[0]
    assert listed.entry("hil_tests/test_a.py::test_other") is None
    later = quarantine(tmp_path, ENTRY, datetime.date(2026, 12, 1))
    assert later.entry("hil_tests/test_a.py::test_b") is None
    assert later.expired == later.entries


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('owner = "a@example.org"', "test_b lacks owner"),
        ("expires = 2026-11-30", "test_b lacks expires"),
        ('reason = "loses a byte"', "test_b lacks reason"),
    ],
)
def test_an_entry_without_owner_reason_or_expiry_is_refused(
    tmp_path: Path, line: str, message: str
) -> None:
    with pytest.raises(QuarantineError, match=message):
        quarantine(tmp_path, ENTRY.replace(line, ""))


def test_the_repositorys_list_is_valid_and_names_tests_that_exist() -> None:
    for entry in Quarantine.load(LISTED, TODAY).entries:
        path, _, name = entry.test.partition("::")
        assert f"def {name}(" in (LISTED.parents[2] / path).read_text()


def test_the_serial_package_is_that_of_one_distribution_and_not_mixed() -> None:
    """Two distributions install it (ADR 0016); whichever came last must be there whole."""
    whole = []
    for name in ("pyserial", "pyserial-labgrid"):
        files = [
            path
            for path in distribution(name).files or ()
            if path.parts[0] == "serial" and path.suffix == ".py" and path.hash
        ]
        assert files
        whole.append(all(is_as_recorded(path) for path in files))
    assert any(whole), "a mixture: remove .venv and run `make setup`"


def is_as_recorded(path: PackagePath) -> bool:
    assert path.hash is not None
    digest = hashlib.new(path.hash.mode, Path(path.locate()).read_bytes()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == path.hash.value
