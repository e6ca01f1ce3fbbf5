//! Hands rejected records to a pipeline as a topic's source does (`kafka::source`): the same events, on a thread of its own.
//!
//! It has no group. Its sources are assigned once, from offset 0 on, and what is committed is kept nowhere: the chains know
//! what is written.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TrySendError;

use super::feed::Feed;
use crate::error::{Error, Kind, Result};
use crate::ingest::origin::Origin;
use crate::kafka::source::{Reply, channels};
use crate::kafka::{
    Delivery, Found, FromSources, Offer, Source, SourceCommand, SourceEvent, ToJob, TopicPartition,
};

/// How long a command is waited for while the job takes no records.
const PAUSE: Duration = Duration::from_millis(10);
const ASSIGNMENT: u64 = 1;

struct Speaker {
    feeds: Vec<Feed>,
    found: Found,
    offers: Vec<Offer>,
    to: ToJob,
    commands: mpsc::Receiver<SourceCommand>,
    runtime: Handle,
}

/// What a command leaves to do.
#[derive(PartialEq, Eq)]
enum Then {
    GoOn,
    End,
}

/// Starts the thread, over sources of one topic. `mark` is what their offsets are committed under, so that they are trusted.
pub(super) fn start(
    feeds: Vec<Feed>,
    origin: &Origin,
    mark: impl Fn(&TopicPartition) -> String,
) -> Result<(Source, FromSources)> {
    let topic = feeds.first().map_or_else(String::new, |feed| feed.source.topic.to_string());
    let (to, from_sources) = channels();
    let (commands_sender, commands) = mpsc::channel();
    let found = Found {
        topic: topic.clone(),
        cluster: origin.cluster.clone(),
        topic_id: Some(origin.topic_id(&topic).to_owned()),
        ends: feeds.iter().map(|feed| (feed.source.clone(), feed.end)).collect(),
    };
    let offer = |feed: &Feed| Offer {
        source: feed.source.clone(),
        committed: Some((0, mark(&feed.source))),
        low_watermark: 0,
        high_watermark: feed.end,
        at_time: None,
    };
    let offers = feeds.iter().map(offer).collect();
    let speaker = Speaker { feeds, found, offers, to, commands, runtime: Handle::current() };
    std::thread::Builder::new()
        .name("replay-source".into())
        .spawn(move || speaker.run())
        .map_err(|e| Error::new(Kind::System, "cannot start the source's thread").because(e))?;
    Ok((Source { topic, commands: commands_sender }, from_sources))
}

impl Speaker {
    fn run(mut self) {
        if let Err(e) = self.speak() {
            self.tell(SourceEvent::Failed(e));
        }
    }

    fn speak(&mut self) -> Result<()> {
        self.tell(SourceEvent::Found(self.found.clone()));
        match self.commands.recv() {
            Ok(SourceCommand::Join) => {}
            Ok(command) => return self.obey(command).map(|_| ()),
            Err(_) => return Ok(()),
        }
        let (reply, starts) = Reply::new();
        let offers = std::mem::take(&mut self.offers);
        self.tell(SourceEvent::Assigned { assignment: ASSIGNMENT, offers, reply });
        if starts.recv().is_err() {
            return Ok(());
        }
        for mut feed in std::mem::take(&mut self.feeds) {
            loop {
                let set = self.runtime.block_on(feed.next(ASSIGNMENT))?;
                let is_last = set.is_empty();
                let delivery = match is_last {
                    false => Delivery::Records(set),
                    true => Delivery::Ended {
                        source: feed.source.clone(),
                        assignment: ASSIGNMENT,
                        offset: feed.end,
                    },
                };
                if self.deliver(delivery)? == Then::End {
                    return Ok(());
                }
                if is_last {
                    break;
                }
            }
        }
        while let Ok(command) = self.commands.recv() {
            if self.obey(command)? == Then::End {
                break;
            }
        }
        Ok(())
    }

    fn tell(&self, event: SourceEvent) {
        let _ = self.to.events.blocking_send(event); // a job that is gone needs none
    }

    /// Hands a delivery over, and obeys commands while the job takes none.
    fn deliver(&self, delivery: Delivery) -> Result<Then> {
        let (mut delivery, mut wait) = (delivery, Duration::ZERO);
        loop {
            match self.commands.recv_timeout(wait) {
                Ok(command) => {
                    if self.obey(command)? == Then::End {
                        return Ok(Then::End);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(Then::End),
            }
            match self.to.deliveries.try_send(delivery) {
                Ok(()) => return Ok(Then::GoOn),
                Err(TrySendError::Closed(_)) => return Ok(Then::End),
                Err(TrySendError::Full(back)) => (delivery, wait) = (back, PAUSE),
            }
        }
    }

    fn obey(&self, command: SourceCommand) -> Result<Then> {
        match command {
            SourceCommand::Join => {}
            SourceCommand::Commit(commits) => self.tell(SourceEvent::Committed(Ok(commits))),
            SourceCommand::Watermark(source) => {
                let end = self.found.ends.iter().find(|(of, _)| *of == source).map_or(0, |(_, end)| *end);
                self.tell(SourceEvent::Watermark { source, high: end });
            }
            SourceCommand::GroupOffsets(_) => {
                let topic = self.found.topic.clone();
                self.tell(SourceEvent::GroupOffsets { topic, offsets: Ok(Vec::new()) });
            }
            SourceCommand::Stop(commits) => {
                self.tell(SourceEvent::Committed(Ok(commits)));
                return Ok(Then::End);
            }
        }
        Ok(Then::GoOn)
    }
}
