-- Kraken, WebSocket API v2, the trade channel: a message holds an array of trades, and stands among heartbeats, states and
-- answers. Prices and quantities are numbers. Times have six decimals: exact in `ts_ns`, cut to milliseconds in `ts`.
-- https://docs.kraken.com/api/docs/websocket-v2/trade
CREATE EXTERNAL TABLE `market`.`kraken_trades` (
  `ts`         timestamp COMMENT 'time of the trade, UTC',
  `ts_ns`      bigint COMMENT 'time of the trade, nanoseconds since the epoch',
  `trade_id`   bigint COMMENT 'counts the trades of the pair',
  `side`       string COMMENT 'of the taker',
  `order_type` string COMMENT 'of the taker',
  `price`      decimal(28,10),
  `quantity`   decimal(28,10)
)
PARTITIONED BY (`date` string, `symbol` string)
STORED AS PARQUET
TBLPROPERTIES (
  'parquet.compression'        = 'ZSTD',
  'ticklake.partition.date'    = 'day(ts)',
  'ticklake.partition.symbol'  = 'identity(/symbol)',
  'ticklake.messages'          = '/channel = "trade"',
  'ticklake.records'           = '/data',
  'ticklake.source.ts'         = '/timestamp',
  'ticklake.format.ts'         = 'rfc3339',
  'ticklake.source.ts_ns'      = '/timestamp',
  'ticklake.format.ts_ns'      = 'rfc3339',
  'ticklake.source.order_type' = '/ord_type',
  'ticklake.source.quantity'   = '/qty',
  'ticklake.sort'              = 'ts_ns, trade_id'
)
