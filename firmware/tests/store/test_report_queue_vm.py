"""The queue of reports: order through ring and flash, what is forgotten when, base times."""

from vm.scratch import Scratch

from node.store.report_queue import HEADER_BYTES, ReportQueue, base_time, make_record


def record(number):
    return make_record(1, 1700000000 + number, True, b"report %d" % number)


def take_all(queue):
    found = []
    while True:
        first = queue.first()
        if first is None:
            return found
        found.append(bytes(first[HEADER_BYTES:]))
        queue.done(first)


def test_nothing_goes_to_flash_while_reports_are_acknowledged():
    with Scratch() as folder:
        queue = ReportQueue(folder)
        for number in range(30):
            queue.put(record(number))
            queue.done(queue.first())
        assert len(queue) == 0
        assert len(ReportQueue(folder)) == 0


def test_order_holds_through_ring_and_flash():
    with Scratch() as folder:
        queue = ReportQueue(folder)
        for number in range(20):
            queue.put(record(number))
        assert len(queue) == 20
        assert take_all(queue) == [b"report %d" % number for number in range(20)]


def test_spilled_reports_survive_a_power_cut():
    with Scratch() as folder:
        queue = ReportQueue(folder)
        for number in range(3):
            queue.put(record(number))
        queue.spill()
        queue = ReportQueue(folder)
        queue.put(record(3))
        assert take_all(queue) == [b"report %d" % number for number in range(4)]


def test_report_that_moves_to_flash_while_it_is_sent_is_forgotten_once():
    with Scratch() as folder:
        queue = ReportQueue(folder)
        for number in range(3):
            queue.put(record(number))
        sent = queue.first()
        queue.spill()
        queue.done(sent)
        assert take_all(queue) == [b"report 1", b"report 2"]


def test_acknowledgement_of_a_dropped_report_forgets_no_other():
    with Scratch() as folder:
        queue = ReportQueue(folder)
        queue.put(record(0))
        sent = queue.first()
        queue.done(sent)
        queue.put(record(1))
        queue.done(sent)
        assert take_all(queue) == [b"report 1"]


def test_full_flash_drops_the_oldest_and_counts_them():
    with Scratch() as folder:
        queue = ReportQueue(folder)
        payload = bytes(500)
        count = 0
        while not queue.dropped:
            count += 1
            queue.put(make_record(1, count, True, b"%04d" % count + payload))
        left = take_all(queue)
        assert len(left) == count - queue.dropped
        assert int(left[-1][:4]) == count
        assert len(left) > 100


def test_events_are_durable_at_once_and_never_dropped():
    with Scratch() as folder:
        queue = ReportQueue(folder)
        for number in range(50):
            queue.put_event(record(number))
        queue = ReportQueue(folder)
        assert len(queue) == 50
        for number in range(50):
            assert queue.first_event() == record(number)
            queue.event_done()
        assert queue.first_event() is None
        assert queue.first() is None


def test_base_time_of_a_report_is_when_it_was_taken():
    known = make_record(3, 1700000000, True, b"")
    assert base_time(known, 3, 500, 0) == 1700000000
    assert base_time(known, 4, 5, 1700000900) == 1700000000


def test_base_time_without_a_clock_is_relative_or_made_up_later():
    unknown = make_record(3, 100, False, b"")
    assert base_time(unknown, 3, 130, 0) == -30
    assert base_time(unknown, 3, 130, 1700000000) == 1700000000 - 30
    # Of an earlier boot: at least as old as this one.
    assert base_time(unknown, 4, 7, 0) == -7
    assert base_time(unknown, 4, 7, 1700000000) == 1700000000 - 7
