"""Which areas somebody may see and change.

Not an implementation (adapters).
"""

from collections.abc import Collection

# None stands for every area, otherwise the codes of the areas that are allowed.
AllowedAreas = Collection[str] | None
