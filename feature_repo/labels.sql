-- One row per flight that left: who and when, and whether it left more than 15 minutes late. The prediction is made at the
-- scheduled departure, which is a field of the request too. A cancelled flight has no departure to be late with, so it is not here.
select
    airport,
    case airport when 'JFK' then 'LGA' when 'LGA' then 'JFK' when 'EWR' then 'LGA' end as alternate,
    aircraft,
    scheduled_departure as event_timestamp,
    scheduled_departure,
    departure_delay > 15 as late
from departures
where departed_at is not null
order by scheduled_departure, airport, carrier, flight
