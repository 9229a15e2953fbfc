"""The phases of a migration in their order, a file each. Each asks the canisters first what is already done.

Doing a phase twice changes nothing. Phases take and return small records, which the durable engine keeps.
"""

from icmigrate.migration.phases.plan import plan
from icmigrate.migration.phases.reserve import reserve
from icmigrate.migration.phases.create import create
from icmigrate.migration.phases.install import install
from icmigrate.migration.phases.pre_copy import pre_copy
from icmigrate.migration.phases.freeze import freeze
from icmigrate.migration.phases.catch_up import catch_up
from icmigrate.migration.phases.verify import verify
from icmigrate.migration.phases.check_http import check_http
from icmigrate.migration.phases.cut_over import cut_over

__all__ = [
    "plan",
    "reserve",
    "create",
    "install",
    "pre_copy",
    "freeze",
    "catch_up",
    "verify",
    "check_http",
    "cut_over",
]
