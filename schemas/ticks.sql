-- Trades and quotes as `ticklake produce --simulate` sends them:
-- {"symbol":"AAPL","ts":1795354215123,"price":187.23,"size":100,"bid":187.22,"ask":187.24,"exchange":"XNAS","seq":17}
CREATE EXTERNAL TABLE `market`.`ticks` (
  `ts`       timestamp COMMENT 'event time, UTC',
  `price`    decimal(18,4),
  `size`     bigint,
  `bid`      decimal(18,4),
  `ask`      decimal(18,4),
  `exchange` string,
  `seq`      bigint COMMENT 'counts the ticks of the feed'
)
PARTITIONED BY (`date` string, `symbol` string)
STORED AS PARQUET
TBLPROPERTIES (
  'parquet.compression'       = 'ZSTD',
  'ticklake.partition.date'   = 'day(ts)',
  'ticklake.partition.symbol' = 'identity(/symbol)',
  'ticklake.format.ts'        = 'epoch_ms',
  'ticklake.sort'             = 'ts, seq'
)
