-- How long ago the airport last reported, so that a check can see hours that are missing. The look back ends after a day,
-- as the view's lookback does; a frame without an end would give other values to an hourly run than to a yearly one.
select
    *,
    date_diff('hour', max(observed_at) over previous, observed_at) as hours_since_previous
from source
window previous as (
    partition by airport
    order by observed_at
    range between interval '24 hours' preceding and interval '1 microsecond' preceding
)
