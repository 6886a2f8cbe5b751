attach '/project/offline/airport_weather/v2/r000001.duckdb' as "__r000001" (read_only);

with candidates as (
    select e.__row, e.__time, 0 as __segment, r.rowid as __id, {e: epoch_us(r.__event), c: coalesce(epoch_us(r.__created), -9223372036854775808), a: epoch_us(r.__available)} as __rank
    from __entity_rows e join "__r000001".rows r on e."alternate" = r."airport" and e.__time >= r.__available
), winners as (
    select __row, any_value(__time) as __time, arg_max({segment: __segment, row: __id}, __rank) as __place
    from candidates group by __row
)
select w.__row, case when epoch_us(w.__time) - epoch_us(s.__event) > 2592000000000 then 0 when case when w.__time >= make_timestamp(1357776000000000) then epoch_us(w.__time) - epoch_us(s.__event) > 86400000000 else epoch_us(w.__time) - epoch_us(s.__event) > 21600000000 end then 2 else 1 end as __state, s.__event, s.__created, s.__available, s."temperature", s."reports"
from winners w join "__r000001".rows s on w.__place.segment = 0 and s.rowid = w.__place.row;
