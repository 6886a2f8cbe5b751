"""What the features are about."""

from hitherto import Entity
from hitherto.types import String

airport = Entity("airport", join_keys={"airport": String}, description="Airport, by its IATA code: JFK, LGA or EWR.")
aircraft = Entity("aircraft", join_keys={"aircraft": String}, description="Aircraft, by its registration: N14228.")
