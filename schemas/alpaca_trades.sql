-- Alpaca real-time stock data (v2/iex, v2/sip): a message is an array of trades, quotes, bars and control messages.
-- Times have up to nine decimals: exact in `ts_ns`, cut to milliseconds in `ts`. A day is New York's, where after-hours
-- trading ends in the next day of UTC. https://docs.alpaca.markets/docs/real-time-stock-pricing-data
CREATE EXTERNAL TABLE `market`.`alpaca_trades` (
  `ts`         timestamp COMMENT 'time of the trade, UTC',
  `ts_ns`      bigint COMMENT 'time of the trade, nanoseconds since the epoch',
  `trade_id`   bigint,
  `exchange`   string,
  `price`      decimal(18,8),
  `size`       decimal(18,8),
  `conditions` array<string>,
  `tape`       string
)
PARTITIONED BY (`date` string, `symbol` string)
STORED AS PARQUET
TBLPROPERTIES (
  'parquet.compression'        = 'ZSTD',
  'ticklake.partition.date'    = 'day(ts)',
  'ticklake.partition.symbol'  = 'identity(/S)',
  'ticklake.timezone'          = 'America/New_York',
  'ticklake.only'              = '/T = "t"',
  'ticklake.source.ts'         = '/t',
  'ticklake.format.ts'         = 'rfc3339',
  'ticklake.source.ts_ns'      = '/t',
  'ticklake.format.ts_ns'      = 'rfc3339',
  'ticklake.source.trade_id'   = '/i',
  'ticklake.source.exchange'   = '/x',
  'ticklake.source.price'      = '/p',
  'ticklake.source.size'       = '/s',
  'ticklake.source.conditions' = '/c',
  'ticklake.source.tape'       = '/z',
  'ticklake.sort'              = 'ts_ns'
)
