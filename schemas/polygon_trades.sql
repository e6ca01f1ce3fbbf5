-- Massive (once Polygon.io), trades of stocks and of options: a message is an array of events. `s` is the size in whole
-- shares, `ds` the same as a text with its fraction. A day is New York's. https://massive.com/docs/websocket/stocks/trades
CREATE EXTERNAL TABLE `market`.`polygon_trades` (
  `ts`          timestamp COMMENT 'time of the SIP, UTC',
  `trade_id`    string,
  `exchange_id` int,
  `tape`        tinyint COMMENT '1 NYSE, 2 NYSE American, 3 Nasdaq',
  `price`       decimal(18,8),
  `size`        bigint COMMENT 'whole shares',
  `size_exact`  decimal(18,8) COMMENT 'with fractions of shares, where they are sent',
  `conditions`  array<int>,
  `seq`         bigint COMMENT 'grows within a symbol',
  `trf_id`      int,
  `trf_ts`      timestamp COMMENT 'when the trade reporting facility had it, UTC'
)
PARTITIONED BY (`date` string, `symbol` string)
STORED AS PARQUET
TBLPROPERTIES (
  'parquet.compression'         = 'ZSTD',
  'ticklake.partition.date'     = 'day(ts)',
  'ticklake.partition.symbol'   = 'identity(/sym)',
  'ticklake.timezone'           = 'America/New_York',
  'ticklake.only'               = '/ev = "T"',
  'ticklake.source.ts'          = '/t',
  'ticklake.format.ts'          = 'epoch_ms',
  'ticklake.source.trade_id'    = '/i',
  'ticklake.source.exchange_id' = '/x',
  'ticklake.source.tape'        = '/z',
  'ticklake.source.price'       = '/p',
  'ticklake.source.size'        = '/s',
  'ticklake.source.size_exact'  = '/ds',
  'ticklake.source.conditions'  = '/c',
  'ticklake.source.seq'         = '/q',
  'ticklake.source.trf_id'      = '/trfi',
  'ticklake.source.trf_ts'      = '/trft',
  'ticklake.format.trf_ts'      = 'epoch_ms',
  'ticklake.sort'               = 'ts, seq'
)
