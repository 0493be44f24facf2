"""The log in flash: order, bounds, and every way a power cut can tear its end."""

import os

from vm.scratch import Scratch

from node.store.flash_log import FlashLog


def contents(log):
    """Pop everything."""
    found = []
    while True:
        record = log.first()
        if record is None:
            return found
        found.append(record)
        log.pop()


def test_records_come_in_order_and_survive_a_reboot():
    with Scratch() as folder:
        log = FlashLog(folder, "log", 40, 0)
        records = [b"record %d" % number for number in range(10)]
        for record in records[:7]:
            log.append(record)
        assert (len(log), log.first()) == (7, records[0])
        log = FlashLog(folder, "log", 40, 0)
        for record in records[7:]:
            log.append(record)
        assert len(log) == 10
        assert contents(log) == records
        assert len(log) == 0
        assert os.listdir(folder) == []
        assert FlashLog(folder, "log", 40, 0).first() is None


def test_log_is_usable_after_it_was_emptied():
    with Scratch() as folder:
        log = FlashLog(folder, "log", 40, 0)
        for record in (b"first", b"second"):
            log.append(record)
            assert contents(log) == [record]


def test_full_log_drops_its_oldest_segment_and_counts():
    with Scratch() as folder:
        log = FlashLog(folder, "log", 30, 3)
        records = [b"0123456789%02d" % number for number in range(9)]
        for record in records:
            log.append(record)
        kept = len(log)
        assert log.dropped == len(records) - kept
        assert contents(log) == records[-kept:]
        assert kept >= 4


def test_popped_records_are_not_counted_as_dropped():
    with Scratch() as folder:
        log = FlashLog(folder, "log", 30, 2)
        for number in range(4):
            log.append(b"0123456789%02d" % number)
        log.pop()
        log.append(b"last")
        assert log.dropped == 1
        assert contents(log) == [b"012345678902", b"012345678903", b"last"]


def test_torn_record_is_absent_and_everything_else_is_there():
    whole = [b"first record", b"second record"]
    with Scratch() as folder:
        log = FlashLog(folder, "log", 4096, 0)
        for record in whole:
            log.append(record)
        path = folder + "/" + os.listdir(folder)[0]
        with open(path, "rb") as file:
            before = file.read()
        log.append(b"third record")
        with open(path, "rb") as file:
            after = file.read()
        for size in range(len(before), len(after)):
            with open(path, "wb") as file:
                file.write(after[:size])
            log = FlashLog(folder, "log", 4096, 0)
            assert len(log) == 2
            log.append(b"after the cut")
            assert contents(log) == whole + [b"after the cut"]


def test_flipped_bit_ends_a_segment_and_not_the_log():
    with Scratch() as folder:
        log = FlashLog(folder, "log", 4096, 0)
        for record in (b"first", b"second"):
            log.append(record)
        path = folder + "/" + os.listdir(folder)[0]
        with open(path, "rb") as file:
            contents_of_file = bytearray(file.read())
        contents_of_file[-1] ^= 1
        with open(path, "wb") as file:
            file.write(contents_of_file)
        log = FlashLog(folder, "log", 4096, 0)
        log.append(b"third")
        assert contents(log) == [b"first", b"third"]


def test_two_logs_share_a_folder():
    with Scratch() as folder:
        one, other = FlashLog(folder, "one", 40, 0), FlashLog(folder, "other", 40, 0)
        one.append(b"1")
        other.append(b"2")
        assert len(FlashLog(folder, "one", 40, 0)) == 1
        assert contents(FlashLog(folder, "other", 40, 0)) == [b"2"]
