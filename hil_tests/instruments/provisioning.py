"""Makes boards of the rig known to the fleet and says what they are flashed with.

Not the flashing. One provisioner serves all boards of a test session.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hil_tests.instruments.flash_parts import wifi_settings
from poleward_tools.client.views import Area, ManufacturedNode, Node, Pole, StoredCount
from poleward_tools.demo import factory
from poleward_tools.demo.city import FACTORY_VERSION, GATEWAY_NAME, City
from poleward_tools.flash_image.firmware_files import ChipFirmware
from poleward_tools.flash_image.node_image import identity_region, prepare_software
from poleward_tools.flash_image.node_nvs import NodeIdentity, Trust, new_identity
from poleward_tools.flashing.claim_code import hash_claim_code
from poleward_tools.virtual_board.stand_ins import stand_in_firmware

FirmwareSource = Callable[[str], ChipFirmware]


@dataclass(frozen=True, slots=True)
class BornNode:
    """A board that the fleet knows."""

    identity: NodeIdentity
    pole: Pole


class Provisioner:
    """Gives each board one identity and one pole, however often it is flashed.

    Args:
        city: whose fleet and gateway the boards belong to.
        next_place: gives a pole and its area that the fleet does not know yet.
    """

    def __init__(self, city: City, next_place: Callable[[], tuple[Pole, Area]]) -> None:
        self.city = city
        self._next_place = next_place
        self._born: dict[bytes, BornNode] = {}
        self.release = factory.build_release(FACTORY_VERSION, sequence=1, key=city.signing_key)

    def node(self, mac: bytes) -> BornNode:
        """Return the node of this address; the fleet knows it when this returns."""
        if mac not in self._born:
            self._born[mac] = self._bear(mac)
        return self._born[mac]

    def supply(
        self, chip: Callable[[], str], firmware: FirmwareSource = stand_in_firmware
    ) -> "BoardSupply":
        """Return what one board is flashed with.

        Args:
            chip: asked when the board has power.
            firmware: gives bootloader and MicroPython of a chip.
        """
        return BoardSupply(self, chip, firmware)

    def view(self, mac: bytes) -> Node:
        """Return the node as the fleet sees it."""
        node = self.city.client.get_pole(self.node(mac).pole.code).view.node
        assert node is not None
        return node

    def counts(self, mac: bytes) -> list[StoredCount]:
        """Return what the fleet has stored of each boot of the node."""
        return self.city.client.stored_counts([self.view(mac).number])

    def _bear(self, mac: bytes) -> BornNode:
        client = self.city.client
        pole, area = self._next_place()
        identity = new_identity(mac)
        client.create_areas([area])
        client.import_poles([pole])
        client.import_nodes(
            [
                ManufacturedNode(
                    mac=mac,
                    bootstrap_secret=identity.bootstrap_secret,
                    bootstrap_salt=identity.bootstrap_salt,
                    claim_code_hash=hash_claim_code(identity.mac, identity.claim_code),
                    board_profile=identity.profile,
                )
            ]
        )
        client.commission(
            mac=mac,
            claim_code=identity.claim_code,
            pole_code=pole.code,
            gateway_name=GATEWAY_NAME,
            report_interval_s=self.city.plan.report_interval_s,
        )
        return BornNode(identity, pole)


class BoardSupply:
    """What one board is flashed with; the strategy asks for it."""

    def __init__(
        self, provisioner: Provisioner, chip: Callable[[], str], firmware: FirmwareSource
    ) -> None:
        self._provisioner = provisioner
        self._chip = chip
        self._firmware = firmware

    def parts_for(self, mac: bytes, gateway_uri: str, *, is_new: bool) -> Mapping[int, bytes]:
        """Return contents by offset; the NVS is among them only for a new node."""
        release = self._provisioner.release
        software = prepare_software(self._firmware(self._chip()), factory.files_of_node(release))
        regions = [*software.regions]
        if is_new:
            key = self._provisioner.city.signing_key.public_key().public_bytes_raw()
            identity = self._provisioner.node(mac).identity
            trust = Trust(gateway_uri, (key,))
            regions.append(identity_region(software, identity, trust, wifi_settings(os.environ)))
        return {region.offset: region.content for region in regions}
