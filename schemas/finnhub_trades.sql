-- Finnhub, trades over WebSocket: a message holds an array of trades, and stands among pings. Prices and volumes are floating
-- numbers, printed with all of their digits: rounded to ten decimals. https://finnhub.io/docs/api/websocket-trades
CREATE EXTERNAL TABLE `market`.`finnhub_trades` (
  `ts`         timestamp COMMENT 'time of the trade, UTC',
  `price`      decimal(28,10),
  `volume`     decimal(28,10),
  `conditions` array<string>
)
PARTITIONED BY (`date` string, `symbol` string)
STORED AS PARQUET
TBLPROPERTIES (
  'parquet.compression'        = 'ZSTD',
  'ticklake.partition.date'    = 'day(ts)',
  'ticklake.partition.symbol'  = 'identity(/s)',
  'ticklake.messages'          = '/type = "trade"',
  'ticklake.records'           = '/data',
  'ticklake.source.ts'         = '/t',
  'ticklake.format.ts'         = 'epoch_ms',
  'ticklake.source.price'      = '/p',
  'ticklake.format.price'      = 'rounded',
  'ticklake.source.volume'     = '/v',
  'ticklake.format.volume'     = 'rounded',
  'ticklake.source.conditions' = '/c',
  'ticklake.sort'              = 'ts'
)
