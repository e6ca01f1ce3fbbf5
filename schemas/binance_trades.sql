-- Binance spot, raw streams (/ws/btcusdt@trade): one event a message.
-- Prices and quantities are texts with eight decimals. Fields differ by case alone (t and T, m and M): so each column
-- has a pointer. https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
CREATE EXTERNAL TABLE `market`.`binance_trades` (
  `ts`             timestamp COMMENT 'time of the trade, UTC',
  `event_ts`       timestamp COMMENT 'time of the message, UTC',
  `trade_id`       bigint,
  `price`          decimal(18,8),
  `quantity`       decimal(28,8),
  `buyer_is_maker` boolean
)
PARTITIONED BY (`date` string, `symbol` string)
STORED AS PARQUET
TBLPROPERTIES (
  'parquet.compression'            = 'ZSTD',
  'ticklake.partition.date'        = 'day(ts)',
  'ticklake.partition.symbol'      = 'identity(/s)',
  'ticklake.only'                  = '/e = "trade"',
  'ticklake.source.ts'             = '/T',
  'ticklake.format.ts'             = 'epoch_ms',
  'ticklake.source.event_ts'       = '/E',
  'ticklake.format.event_ts'       = 'epoch_ms',
  'ticklake.source.trade_id'       = '/t',
  'ticklake.source.price'          = '/p',
  'ticklake.source.quantity'       = '/q',
  'ticklake.source.buyer_is_maker' = '/m',
  'ticklake.sort'                  = 'ts, trade_id'
)
