"""A node with the old release of the golden vectors, and a gateway that has the new one.

Not the real flash and link: both are in RAM.
"""

import gc
import hashlib
import sys

import boot
from fake_flash import Flash
from vm import vectors

from node.ota import archives, component, ed25519, image, installer, slots, updater
from node.ota.errors import FetchRefused
from node.ota.trust import Trust

_BLOCK_BYTES = 1024


def _load():
    loaded = vectors.load("release")
    for name in ("old", "new"):
        for part in ("envelope", "bundle", "archive"):
            loaded[name][part] = bytes.fromhex(loaded[name][part])
    loaded["patch"] = bytes.fromhex(loaded["patch"])
    return loaded


VECTORS = _load()
NEW_COMPONENT = hashlib.sha256(VECTORS["new"]["bundle"]).digest().hex()
PATCH_PATH = ("a", "p", NEW_COMPONENT, "3")
NEW_URI = "coap:///r/" + hashlib.sha256(VECTORS["new"]["envelope"]).digest().hex()


def run(coroutine):
    """Drive a coroutine that never really waits."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration:
        return


class _Asyncio:
    async def sleep(self, seconds):
        pass

    async def wait_for_ms(self, coroutine, timeout_ms):
        return await coroutine


class Gateway:
    """Serves the new release, block by block.

    `lose_at` is the number of blocks after which the link is lost once, None for never;
    `busy_for` is how often it says that it has to get the thing itself first.
    """

    busy_for = 0

    def __init__(self, has_patch=False):
        new = VECTORS["new"]
        self.resources = {
            ("r", NEW_URI[-64:]): new["envelope"],
            ("a", "d", NEW_COMPONENT): new["archive"],
        }
        if has_patch:
            self.resources[PATCH_PATH] = VECTORS["patch"]
        self.lose_at = None
        self.served_blocks = []
        self.served = []

    async def fetch(self, path, sink, *, start_block):
        if path not in self.resources:
            raise FetchRefused(False)
        if self.busy_for and path[0] == "a":
            self.busy_for -= 1
            raise FetchRefused(True)
        contents = self.resources[path]
        for at in range(start_block * _BLOCK_BYTES, len(contents), _BLOCK_BYTES):
            if self.lose_at == 0:
                self.lose_at = None
                raise OSError(110)
            if self.lose_at:
                self.lose_at -= 1
            self.served_blocks.append((path[0], at // _BLOCK_BYTES))
            self.served.append((path, at // _BLOCK_BYTES))
            sink.write(memoryview(contents)[at : at + _BLOCK_BYTES])


class Node:
    """A node on a flash of RAM; `boot` is a power-up."""

    def __init__(self, is_torn=False, has_patch=False):
        self.flash = Flash(is_torn)
        self.flash.directories = {"slot_a", "data"}
        self.flash.files["slot_a/bundle"] = VECTORS["old"]["bundle"]
        self.flash.files["slot_a/release.cbor"] = VECTORS["old"]["envelope"]
        self.gateway = Gateway(has_patch)
        self.changes = []
        self.partitions = None
        for module in (boot, archives, component, image, installer):
            module.os = self.flash
            module.open = self.flash.open
        for module in (archives, component, ed25519, image, installer, updater):
            module.asyncio = _Asyncio()
        # The stand-ins above would be dropped with their modules.
        updater.drop = lambda package, modules: None
        self.envelopes = {name: [VECTORS[name]["envelope"]] for name in ("old", "new")}
        self.start_on(0)

    def start_on(self, running):
        """Start the application of a slot."""
        if sys.implementation.name == "micropython":
            gc.collect()  # a real node starts with an empty heap
        self.slots = slots.Slots(self.flash, running, self.partitions)
        self.updater = updater.Updater(
            self.slots,
            self.gateway.fetch,
            trust=Trust(bytes.fromhex(VECTORS["trusted_keys"]), 1),
            class_id=bytes.fromhex(VECTORS["class_id"]),
            sequence=VECTORS["new" if running else "old"]["sequence"],
            on_change=self._on_change,
        )

    def _on_change(self):
        self.changes.append((self.updater.state, self.updater.result))

    def release_in(self, slot):
        """Tell which release is in a slot, completely and with nothing else; None otherwise."""
        start = slots.NAMES[slot] + "/"
        found = {
            path[len(start) :]: contents
            for path, contents in self.flash.files.items()
            if path.startswith(start)
        }
        envelope = found.pop("release.cbor", None)
        for name in ("old", "new"):
            if envelope in self.envelopes[name] and found == {"bundle": VECTORS[name]["bundle"]}:
                return name
        return None

    def update(self, uri=NEW_URI):
        """Do a whole update up to the reset."""
        self.updater.start(uri)
        run(self.updater.download())
        run(self.updater.install())
