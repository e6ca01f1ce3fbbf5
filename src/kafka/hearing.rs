//! Keeps what a client says outside of its answers: why it cannot reach a broker, and its log lines; and gives it the
//! tokens that it asks for.
//!
//! librdkafka tries again for as long as it may, so a call that fails says only that time ran out. The reason
//! ("connection refused", "authentication failed") comes as an event before it; the last one is kept here and
//! becomes the cause of the error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use tokio::time::Instant;

use super::client::{Connection, is_away};
use super::iam::{Token, Tokens};
use crate::error::{self, Error, Kind, Result};

/// How long librdkafka is left alone with a question before its events are looked at.
const STEP: Duration = Duration::from_secs(1);

/// Polls a consumer that reads nothing, for what it has to say. That is little: a broker that stays away is not news.
pub(super) fn serve<C: ConsumerContext>(consumer: &BaseConsumer<C>) {
    while consumer.poll(Duration::from_millis(20)).is_some() {}
}

/// The context of a client whose events nobody else reads.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    last: Mutex<Option<(Option<RDKafkaErrorCode>, String)>>,
    /// No broker is left that could answer.
    all_down: AtomicBool,
    tokens: Option<Tokens>,
}

/// What rdkafka takes as the reason of a token that is not there.
pub(super) type NoToken = Box<dyn std::error::Error>;

impl Hearing {
    /// Called where tokio runs, if the connection wants tokens.
    pub(super) fn of(connection: &Connection) -> Self {
        Self { tokens: connection.tokens(), ..Self::default() }
    }

    /// A token where the connection wants one, so that what hinders it is told before a broker is asked. It blocks.
    pub(super) fn token(&self) -> Result<Option<Token>> {
        self.tokens.as_ref().map(Tokens::get).transpose()
    }

    /// Has a consumer log in, where the brokers want a token: it has asked for one, no broker is reached before it is given,
    /// and a poll gives it. The consumer reads nothing yet.
    pub(super) fn log_in<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>) -> Result<()> {
        if self.token()?.is_some() {
            serve(consumer);
        }
        Ok(())
    }

    /// The answer to librdkafka's wish for a token.
    pub(super) fn oauth_token(&self) -> Result<OAuthToken, NoToken> {
        match self.token() {
            Ok(Some(token)) => Ok(OAuthToken {
                lifetime_ms: token.ends_at_ms(),
                token: token.text,
                principal_name: String::new(),
            }),
            Ok(None) => Err("there is nobody here who makes tokens: of OAUTHBEARER, sasl.mechanism=AWS_MSK_IAM is what is \
                             supported"
                .into()),
            Err(e) => Err(error::chain(&e).into()),
        }
    }

    /// The last reason that was given, in librdkafka's words.
    pub(super) fn reason(&self) -> Option<String> {
        self.last().map(|(_, reason)| reason)
    }

    fn last(&self) -> Option<(Option<RDKafkaErrorCode>, String)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The failure of brokers that did not answer within `limit`.
    pub(super) fn unreachable(&self, brokers: &str, limit: Duration, e: KafkaError) -> Error {
        let error = Error::new(
            Kind::Kafka,
            "no broker answers: are they up, is the address right, and are security.protocol and the credentials what it \
             wants?",
        )
        .with("brokers", brokers)
        .with("tried for", format_args!("{} s at most", limit.as_secs()));
        match self.reason() {
            Some(reason) => error.because(reason),
            None => error.because(e),
        }
    }

    /// Asks the brokers, in steps, for `limit` at most. They are not asked again when all are gone and the last word was
    /// that they and this client do not understand each other: librdkafka would try on in silence, and it does not get
    /// better.
    /// The consumer reads nothing yet: what a poll of it gives are events.
    pub(super) fn ask<T, C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        limit: Duration,
        mut ask: impl FnMut(Duration) -> Result<T, KafkaError>,
    ) -> Result<T, KafkaError> {
        let start = Instant::now();
        loop {
            let rest = limit.saturating_sub(start.elapsed());
            let asked = ask(rest.min(STEP));
            let Err(e) = asked else { return asked };
            serve(consumer);
            use RDKafkaErrorCode::{Authentication, SSL};
            let is_final = matches!(self.last(), Some((Some(Authentication | SSL), _)));
            if (is_final && self.all_down.load(Ordering::Relaxed)) || !is_away(&e) || rest <= STEP {
                return Err(e);
            }
        }
    }
}

impl ClientContext for Hearing {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, NoToken> {
        self.oauth_token()
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        match level {
            RDKafkaLogLevel::Debug => tracing::trace!(target: "librdkafka", facility, "{line}"),
            // What matters of these comes as an error event or as a call that fails.
            _ => tracing::debug!(target: "librdkafka", facility, "{line}"),
        }
        // But for a connection that ends without a word, as that of plain text to a port of TLS.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if facility == "FAIL" && !matches!(*last, Some((Some(_), _))) {
            *last = Some((None, line.to_owned()));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // "1/1 brokers are down" comes after the event that says why.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.all_down.store(true, Ordering::Relaxed);
        } else {
            let last = (error.rdkafka_error_code(), reason.to_owned());
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        }
        tracing::debug!(%error, reason, "the Kafka client reports an error");
    }
}

impl ConsumerContext for Hearing {}
