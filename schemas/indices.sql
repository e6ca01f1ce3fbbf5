-- Daily bars of stock indices: the reference CSV (indexProcessed.csv), a JSON object a line.
-- Prices have up to six decimals. CloseUSD is a product of two floating numbers, printed with all of its digits: at most
-- 17 of them, which 18 decimals hold.
CREATE EXTERNAL TABLE `market`.`indices` (
  `trade_date` date,
  `open`       decimal(18,6),
  `high`       decimal(18,6),
  `low`        decimal(18,6),
  `close`      decimal(18,6),
  `adj_close`  decimal(18,6),
  `volume`     decimal(18,2) COMMENT 'sent as a floating number',
  `close_usd`  decimal(38,18)
)
PARTITIONED BY (`date` string, `symbol` string)
STORED AS PARQUET
TBLPROPERTIES (
  'parquet.compression'        = 'ZSTD',
  'ticklake.partition.date'    = 'day(trade_date)',
  'ticklake.partition.symbol'  = 'identity(/Index)',
  'ticklake.source.trade_date' = '/Date',
  'ticklake.format.trade_date' = '%Y-%m-%d',
  'ticklake.source.adj_close'  = '/Adj Close',
  'ticklake.source.close_usd'  = '/CloseUSD',
  'ticklake.sort'              = 'trade_date'
)
