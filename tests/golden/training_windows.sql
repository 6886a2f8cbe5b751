attach '/project/offline/airport_weather/v2/r000001.duckdb' as "__r000001" (read_only);

attach '/project/offline/airport_weather/v2/r000002.duckdb' as "__r000002" (read_only);

with seen as (
    select e.__row, e.__time, r.__event, {e: epoch_us(r.__event), c: coalesce(epoch_us(r.__created), -9223372036854775808), a: epoch_us(r.__available), s: 0, i: r.rowid} as __order, r."wind_speed", r."reports"
    from __entity_rows e join "__r000001".rows r on e."alternate" = r."airport" and r.__available <= e.__time and r.__event > e.__time - to_microseconds(86400000000) and ((r.__available >= make_timestamp(1356998400000000) and r.__available < make_timestamp(1357257600000000)))
    union all
    select e.__row, e.__time, r.__event, {e: epoch_us(r.__event), c: coalesce(epoch_us(r.__created), -9223372036854775808), a: epoch_us(r.__available), s: 1, i: r.rowid} as __order, r."wind_speed", r."reports"
    from __entity_rows e join "__r000002".rows r on e."alternate" = r."airport" and r.__available <= e.__time and r.__event > e.__time - to_microseconds(86400000000) and e.__time >= make_timestamp(1357776000000000)
), latest as (
    select * from seen qualify row_number() over (partition by __row, __event order by __order desc) = 1
)
select __row, 1 as __state, max(__event) as __event,
    max("wind_speed") filter (where __event > __time - to_microseconds(10800000000)) as "wind_speed_max_3h",
    max("wind_speed") as "wind_speed_max_1d",
    count("wind_speed") as "wind_speed_count_1d",
    try_cast(sum("reports") as bigint) as "reports_sum_1d",
    quantile_cont("wind_speed"::DOUBLE, 0.9) filter (where __event > __time - to_microseconds(10800000000)) as "wind_speed_p90_3h",
    list("wind_speed" order by __order) filter (where "wind_speed" is not null and __event > __time - to_microseconds(10800000000))[-3:] as "wind_speed_last_3_3h"
from latest group by __row;
