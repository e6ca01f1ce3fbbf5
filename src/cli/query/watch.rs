//! Asks again and again: a terminal is redrawn with each answer, a pipe gets one after the other.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use tokio::time::MissedTickBehavior;

use super::desk::Desk;
use super::scanned_line;
use crate::cli::signals;
use crate::cli::terminal::{Stdout, Terminal, unwritable};
use crate::error::{Kind, Result};
use crate::query::Format;
use crate::query::text::Statement;

/// The cursor goes to the upper left, all below and what was scrolled away is erased.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// Runs until Ctrl-C, which is its usual end. An error of a statement ends it too.
pub async fn run(
    desk: &Desk,
    statements: &[Statement],
    format: Format,
    every: Duration,
    terminal: &Terminal,
) -> Result<()> {
    let engines = desk.engines.clone();
    signals::end_at_terminate_after(async move { engines.cancel().await })?;
    let mut ticks = tokio::time::interval(every);
    // An answer that takes longer than the interval is not made up for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let work = async {
        loop {
            ticks.tick().await;
            draw(desk, statements, format, terminal).await?;
        }
    };
    match signals::or_interrupted(work, desk.engines.cancel()).await {
        Err(e) if e.kind() == Kind::Interrupted => Ok(()),
        ended => ended,
    }
}

/// An answer is drawn when it is whole, so that the last one stands until then.
async fn draw(desk: &Desk, statements: &[Statement], format: Format, terminal: &Terminal) -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "it is shown above the answer, and decides nothing")]
    let now = Utc::now();
    let on_terminal = io::stdout().is_terminal();
    let (mut drawn, mut costs) = (Vec::new(), Vec::new());
    for statement in statements {
        if on_terminal || is_for_people(format) {
            writeln!(drawn, "{}\n", heading(now, statement)).map_err(unwritable)?;
        }
        costs.extend(desk.answer(statement, format, &mut drawn).await?);
        if format != Format::JsonLines {
            writeln!(drawn).map_err(unwritable)?;
        }
    }
    let mut out = Stdout::buffered();
    let clear = if on_terminal { CLEAR } else { "" };
    let written = out.write_all(clear.as_bytes()).and_then(|()| out.write_all(&drawn));
    written.and_then(|()| out.flush()).map_err(unwritable)?;
    costs.into_iter().for_each(|scanned| terminal.say(&scanned_line(scanned)));
    Ok(())
}

fn is_for_people(format: Format) -> bool {
    matches!(format, Format::Table | Format::Markdown)
}

/// The time, and how the statement begins.
fn heading(now: DateTime<Utc>, statement: &Statement) -> String {
    let begins = statement.text.lines().next().unwrap_or_default();
    format!("{}  {begins}", now.to_rfc3339_opts(SecondsFormat::Secs, true))
}
