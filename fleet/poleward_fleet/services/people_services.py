"""What the pages about people, tables, keys and the lives of nodes get.

Not what the other pages need (services/web_services.py).
"""

from dataclasses import dataclass

from poleward_fleet.services.account_administration import AccountAdministration
from poleward_fleet.services.approvals import ApprovalService
from poleward_fleet.services.bulk import BulkService
from poleward_fleet.services.node_life import NodeLifeService
from poleward_fleet.services.own_account import OwnAccount
from poleward_fleet.services.provisioning import ProvisioningService
from poleward_fleet.services.releases import ReleaseService
from poleward_fleet.services.strangers import StrangerService
from poleward_fleet.services.trust import TrustService


@dataclass(frozen=True, slots=True)
class PeopleServices:
    """The services themselves: these pages have no other."""

    administration: AccountAdministration
    own_account: OwnAccount
    approvals: ApprovalService
    bulk: BulkService
    lives: NodeLifeService
    provisioning: ProvisioningService
    releases: ReleaseService
    strangers: StrangerService
    trust: TrustService
