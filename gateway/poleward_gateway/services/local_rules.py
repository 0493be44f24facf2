"""Carries out local rules on what nodes tell, with or without the fleet.

Not when a rule fires, which domain/rules.py decides.
"""

import functools
from collections.abc import Sequence

import structlog

from poleward_gateway.domain import rules
from poleward_gateway.domain.commands import CommandStatus, SetLamp
from poleward_gateway.domain.lighting import EventTrigger, ReadingTrigger, Rule
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.domain.rules import Happened
from poleward_gateway.domain.telemetry import GATEWAY_EVENT_BASE, Event, Report, Severity
from poleward_gateway.ports.clock import Clock
from poleward_gateway.ports.spool import Spool
from poleward_gateway.services.jobs import JobPool
from poleward_gateway.services.orders import Orders
from poleward_gateway.services.programs import Programs

_log = structlog.get_logger(__name__)

FIRED_EVENT = "rule.fired"
_SEQUENCE_SPAN = 1 << 29


class LocalRules:
    """Watches events and reports; what a rule orders is done beside everything else.

    What has been counted or counts as past a threshold is kept in memory: after a restart a rule
    may fire once more, which sets lamps to what they are set to.
    """

    def __init__(
        self, programs: Programs, orders: Orders, spool: Spool, jobs: JobPool, clock: Clock
    ) -> None:
        self._programs = programs
        self._orders = orders
        self._spool = spool
        self._jobs = jobs
        self._clock = clock
        self._counted: dict[str, tuple[Happened, ...]] = {}
        self._past: set[tuple[str, NodeNumber]] = set()

    def on_event(self, event: Event) -> None:
        """Look at an event that is on disk."""
        detail = " ".join(value for _, value in event.detail)
        happened = Happened(event.node, event.kind, detail, self._clock.monotonic_s())
        for rule in self._programs.lighting.rules:
            trigger = rule.trigger
            if not isinstance(trigger, EventTrigger) or not rules.wants(trigger, happened):
                continue
            counted = rules.recent(trigger, self._counted.get(rule.name, ()), happened)
            if rules.is_enough(trigger, counted):
                counted = ()
                self._fire(rule, event.node)
            self._counted[rule.name] = counted

    def on_reports(self, reports: Sequence[Report]) -> None:
        """Look at reports that are on disk."""
        for rule in self._programs.lighting.rules:
            if isinstance(rule.trigger, ReadingTrigger):
                for report in reports:
                    self._judge(rule, rule.trigger, report)

    def _judge(self, rule: Rule, trigger: ReadingTrigger, report: Report) -> None:
        for series, value in zip(report.layout, report.values, strict=True):
            if series.metric != trigger.metric:
                continue
            key = (rule.name, report.node)
            was_past = key in self._past
            if rules.is_past(trigger, value, was_past):
                self._past.add(key)
                if not was_past:
                    self._fire(rule, report.node)
            else:
                self._past.discard(key)

    def _fire(self, rule: Rule, node: NodeNumber) -> None:
        """Have a rule carried out; one that is under way for the node does the same."""
        _log.info("rule_fired", rule=rule.name, node=node)
        self._jobs.add(("rule", rule.name, node), functools.partial(self._carry_out, rule, node))

    async def _carry_out(self, rule: Rule, node: NodeNumber) -> None:
        await self._tell(node, FIRED_EVENT, (("rule", rule.name),))
        for telling in rules.tellings(rule):
            await self._tell(node, telling.kind, (("rule", rule.name), ("detail", telling.detail)))
        for action in rules.dimmings(rule):
            orders = rules.lamp_orders(self._programs.lighting, action, node)
            results = await self._orders.dim(
                (order.node, SetLamp(0, order.level_percent, order.duration_s)) for order in orders
            )
            failed = [n for n, r in results.items() if r.status is not CommandStatus.DONE]
            if failed:
                _log.warning("rule_incomplete", rule=rule.name, lamps=len(results), failed=failed)

    async def _tell(self, node: NodeNumber, kind: str, detail: tuple[tuple[str, str], ...]) -> None:
        now_ms = self._clock.now_ms()
        mark = self._spool.mark(node)
        await self._spool.add_events(
            [
                Event(
                    node=node,
                    boot=mark.boot if mark else 0,
                    # With the kind this is the event's key: one of a kind per node and millisecond.
                    sequence=GATEWAY_EVENT_BASE + _SEQUENCE_SPAN + now_ms % _SEQUENCE_SPAN,
                    occurred_at_ms=now_ms,
                    kind=kind,
                    severity=Severity.INFO,
                    detail=detail,
                )
            ]
        )
