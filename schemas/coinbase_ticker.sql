-- Coinbase Exchange, the ticker channel: a message for each match. All numbers but two are texts. Times have six decimals:
-- exact in `ts_ns`, cut to milliseconds in `ts`. https://docs.cdp.coinbase.com/exchange/websocket-feed/channels
CREATE EXTERNAL TABLE `market`.`coinbase_ticker` (
  `ts`            timestamp COMMENT 'time of the match, UTC',
  `ts_ns`         bigint COMMENT 'time of the match, nanoseconds since the epoch',
  `sequence`      bigint,
  `trade_id`      bigint,
  `side`          string COMMENT 'of the taker',
  `price`         decimal(28,12),
  `last_size`     decimal(38,18),
  `best_bid`      decimal(28,12),
  `best_bid_size` decimal(38,18),
  `best_ask`      decimal(28,12),
  `best_ask_size` decimal(38,18),
  `open_24h`      decimal(28,12),
  `high_24h`      decimal(28,12),
  `low_24h`       decimal(28,12),
  `volume_24h`    decimal(38,18),
  `volume_30d`    decimal(38,18)
)
PARTITIONED BY (`date` string, `symbol` string)
STORED AS PARQUET
TBLPROPERTIES (
  'parquet.compression'       = 'ZSTD',
  'ticklake.partition.date'   = 'day(ts)',
  'ticklake.partition.symbol' = 'identity(/product_id)',
  'ticklake.only'             = '/type = "ticker"',
  'ticklake.source.ts'        = '/time',
  'ticklake.format.ts'        = 'rfc3339',
  'ticklake.source.ts_ns'     = '/time',
  'ticklake.format.ts_ns'     = 'rfc3339',
  'ticklake.sort'             = 'sequence'
)
