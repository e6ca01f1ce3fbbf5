-- Binance spot, changes of the order book (/ws/btcusdt@depth): one event a message. A level is an array of two texts, price and
-- quantity; quantity 0 takes the level away. `SELECT bids[1].price` is the first of them in Athena.
-- https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
CREATE EXTERNAL TABLE `market`.`binance_depth` (
  `ts`              timestamp COMMENT 'time of the message, UTC',
  `first_update_id` bigint,
  `final_update_id` bigint,
  `bids`            array<struct<`price`:decimal(18,8),`qty`:decimal(28,8)>>,
  `asks`            array<struct<`price`:decimal(18,8),`qty`:decimal(28,8)>>
)
PARTITIONED BY (`date` string, `symbol` string)
STORED AS PARQUET
TBLPROPERTIES (
  'parquet.compression'             = 'ZSTD',
  'ticklake.partition.date'         = 'day(ts)',
  'ticklake.partition.symbol'       = 'identity(/s)',
  'ticklake.only'                   = '/e = "depthUpdate"',
  'ticklake.source.ts'              = '/E',
  'ticklake.format.ts'              = 'epoch_ms',
  'ticklake.source.first_update_id' = '/U',
  'ticklake.source.final_update_id' = '/u',
  'ticklake.source.bids'            = '/b',
  'ticklake.source.asks'            = '/a',
  'ticklake.sort'                   = 'final_update_id'
)
