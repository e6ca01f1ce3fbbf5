//! Owns what the user sees: stdout for results; stderr for logs, progress and what was done.
//!
//! A progress bar is drawn on a terminal only, and makes room for each line of the log. A reader of stdout that goes
//! away ends the process, as it ends any filter (`ticklake query … | head`).

use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::time::Duration;

use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::aws;
use crate::config::{Log, LogFormat};
use crate::error::{Error, Kind, Result};
use crate::store;

/// The user's side of stderr.
#[derive(Clone, Debug)]
pub struct Terminal {
    bars: MultiProgress,
}

impl Terminal {
    /// Starts the logs. librdkafka's come through the `log` crate, and are in them.
    pub fn start(log: &Log) -> Result<Self> {
        let terminal = Self { bars: MultiProgress::new() };
        let refused = || {
            Error::usage(
                "the setting log.level is no filter: write a level (error, warn, info, debug, trace, off) or directives \
                 as in RUST_LOG",
            )
            .with("log.level", &log.level)
        };
        // A word that is no level would be taken for the name of a target, and all else be silent.
        let is_level = |part: &str| part.contains(['=', '[']) || part.trim().parse::<LevelFilter>().is_ok();
        if !log.level.split(',').all(is_level) {
            return Err(refused());
        }
        let mut filter = EnvFilter::try_new(&log.level).map_err(|e| refused().because(e))?;
        for (target, left_out) in [aws::LOGS, store::LOGS] {
            // At error it would be more than was asked for, and at debug the user wants to see all.
            let usual = ["info", "warn"].iter().any(|level| log.level.starts_with(level));
            if usual && !log.level.contains(target) {
                for directive in left_out {
                    filter =
                        filter.add_directive(directive.parse().expect("a directive of the program's own"));
                }
            }
        }
        let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(terminal.clone());
        match log.format {
            LogFormat::Text => logs.with_ansi(has_colour()).try_init(),
            LogFormat::Json => logs.json().try_init(),
        }
        .map_err(|e| Error::new(Kind::System, "cannot start the logs").because(e))?;
        Ok(terminal)
    }

    /// A bar with this template (indicatif's words); invisible where stderr is no terminal.
    pub fn bar(&self, template: &str) -> ProgressBar {
        let style = ProgressStyle::with_template(template).expect("a template of the program's own");
        let bar = self.bars.add(ProgressBar::no_length().with_style(style));
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }

    /// Says to a human what was done: a line on stderr.
    pub fn say(&self, line: &str) {
        // Where stderr is closed there is nobody to tell.
        let _ = self.bars.suspend(|| writeln!(io::stderr(), "{line}"));
    }
}

/// The no-color.org rule, and never into a pipe or a file.
fn has_colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

impl MakeWriter<'_> for Terminal {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Write for Terminal {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.bars.suspend(|| io::stderr().write_all(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The way to stdout. The caller flushes at the end; a reader that went away ends the process there and then.
pub struct Stdout(Box<dyn Write + Send>);

impl Stdout {
    /// For many rows.
    pub fn buffered() -> Self {
        Self(Box::new(BufWriter::new(io::stdout())))
    }

    /// For somebody who watches.
    pub fn by_line() -> Self {
        Self(Box::new(io::stdout()))
    }

    /// Writes one JSON document, for people to read too, and a line end.
    pub fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *self, value)?;
        writeln!(self)
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        or_end(self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        or_end(self.0.flush())
    }
}

fn or_end<T>(written: io::Result<T>) -> io::Result<T> {
    match written {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        written => written,
    }
}

/// `1,000 rows`, `1 row`.
pub fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", HumanCount(count), if count == 1 { "" } else { "s" })
}

/// An error of stdout's, such as a full disk behind it.
pub fn unwritable(e: io::Error) -> Error {
    Error::new(Kind::System, "cannot write to stdout").because(e)
}
