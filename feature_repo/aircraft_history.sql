-- An arrival is counted from the minute it is known on. Rows of one minute count together (RANGE), so that no order is needed
-- among them; flights that never arrived are not counted and go on to the checks as they are.
select
    aircraft,
    scheduled_departure,
    arrived_at,
    departure_delay as last_departure_delay,
    arrival_delay as last_arrival_delay,
    count(arrived_at) over (
        partition by aircraft
        order by greatest(scheduled_departure, arrived_at)
        range between unbounded preceding and current row
    ) as flights_so_far
from source
