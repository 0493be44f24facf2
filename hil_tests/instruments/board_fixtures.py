"""Fixtures of the boards of a rig, for the test modules of hil_tests.

Not fleet and gateway; `rig` in hil_tests/conftest.py is both.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from labgrid import Environment
from labgrid.pytestplugin.hooks import LABGRID_ENV_KEY

from hil_tests.instruments.bench import BenchBoard
from hil_tests.instruments.provisioning import FirmwareSource, Provisioner
from hil_tests.strategies.node_strategy import NodeStrategy
from poleward_tools.client.views import Area, Pole
from poleward_tools.demo.city import City
from poleward_tools.flash_image.firmware_files import ChipFirmware
from poleward_tools.virtual_board.stand_ins import stand_in_firmware

VIRTUAL_RIG = Path(__file__).parents[1] / "rigs" / "virtual.yaml"

TakeBoard = Callable[[str], BenchBoard]


@pytest.fixture(scope="session")
def env(request: pytest.FixtureRequest) -> Iterator[Environment]:
    """The rig: the one of `--lg-env`, else the virtual one."""
    found = request.config.stash[LABGRID_ENV_KEY] or Environment(str(VIRTUAL_RIG))
    yield found
    found.cleanup()


@pytest.fixture(scope="session")
def provisioner(rig: City, next_place: Callable[[], tuple[Pole, Area]]) -> Provisioner:
    """Knows what boards are flashed with."""
    return Provisioner(rig, next_place)


@pytest.fixture
def take_board(
    env: Environment, provisioner: Provisioner, record_property: Callable[[str, object], None]
) -> Iterator[TakeBoard]:
    """Lease a board of the rig by its name: without power, with a good link.

    A test for a board that the rig does not have is skipped. Its power is taken after the test.
    """
    leased: list[BenchBoard] = []

    def take(name: str) -> BenchBoard:
        target = env.get_target(name)
        if target is None:
            pytest.skip(f"{env.config_file} has no board '{name}'")
        strategy = target.get_driver(NodeStrategy, activate=False)
        board = BenchBoard(target, strategy, provisioner)
        if strategy.supply is None:
            strategy.supply = provisioner.supply(
                lambda: strategy.flasher.read_chip(), _firmware_of(env)
            )
        board.lease()
        leased.append(board)
        record_property("board", board.name)
        record_property("firmware_sha256", hashlib.sha256(provisioner.release.bundle).hexdigest())
        return board

    yield take
    for board in leased:
        board.strategy.power_off()


def _firmware_of(env: Environment) -> FirmwareSource:
    """Return the source of the images that the rig's file names, else of stand-ins."""
    images = env.config.get_images()
    if not images:
        return stand_in_firmware
    content = {name: Path(path).read_bytes() for name, path in images.items()}
    return lambda chip: ChipFirmware(chip, content["bootloader"], content["application"])


@pytest.fixture
def off_board(take_board: TakeBoard) -> BenchBoard:
    """The rig's main board, without power."""
    return take_board("main")


@pytest.fixture
def board(off_board: BenchBoard) -> BenchBoard:
    """The rig's main board, power-cycled and registered."""
    off_board.strategy.transition("registered")
    return off_board


@pytest.fixture
def boards(env: Environment, take_board: TakeBoard) -> list[BenchBoard]:
    """All boards of the rig, without power."""
    return [take_board(name) for name in env.config.get_targets()]
