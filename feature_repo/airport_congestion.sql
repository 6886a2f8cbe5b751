-- One row per airport and minute of departure: the mean over that minute and the two hours before it. Minutes are whole
-- numbers, so the sums are exact and every run gives the same mean, to the last bit.
with minutes as (
    select airport, departed_at, sum(departure_delay) as delay, count(*) as departures
    from source
    where departed_at is not null
    group by airport, departed_at
)
select
    airport,
    departed_at,
    sum(delay) over two_hours / sum(departures) over two_hours as mean_departure_delay,
    cast(sum(departures) over two_hours as bigint) as departures
from minutes
window two_hours as (
    partition by airport
    order by departed_at
    range between interval '2 hours' preceding and current row
)
