//! Decides what an error that `poll` gives means: it passes, or it ends the source with a word on what to do.

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::warn;

use super::poll::{End, Poller};
use crate::error::Error;
use crate::kafka::asking::ANSWER;
use crate::kafka::client::failed;

impl Poller {
    /// What librdkafka gets over by itself is logged; anything else ends the source.
    pub(super) fn judge(&self, e: KafkaError) -> Result<(), End> {
        use RDKafkaErrorCode as Code;
        let fatal = matches!(e, KafkaError::MessageConsumptionFatal(_));
        match e.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                self.must_be_the_same_topic()?;
                Err(End::Failed(self.out_of_range(e)))
            }
            Some(
                code @ (Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::SaslAuthenticationFailed
                | Code::Authentication
                | Code::UnsupportedSASLMechanism),
            ) => Err(End::Failed(
                failed(format!("the topic cannot be read ({code})"), e)
                    .with("topic", &self.options.topic)
                    .with("group", &self.options.group),
            )),
            // librdkafka passes over such a batch, and its records would be missing without a word.
            Some(
                code @ (Code::BadMessage
                | Code::BadCompression
                | Code::NotImplemented
                | Code::InvalidMessage
                | Code::InvalidMessageSize
                | Code::MessageSizeTooLarge),
            ) => Err(End::Failed(self.damaged(code, e))),
            // It does not pass, and would be tried for ever.
            Some(Code::InvalidSessionTimeout | Code::InvalidGroupId | Code::InconsistentGroupProtocol) => {
                Err(End::Failed(
                    failed("the group cannot be joined: change the Kafka property that it says", e)
                        .with("group", &self.options.group),
                ))
            }
            _ if fatal => Err(End::Failed(failed("the consumer cannot go on", e))),
            _ => {
                warn!(error = %e, topic = self.options.topic, "the broker had a problem; trying on");
                Ok(())
            }
        }
    }

    /// Records that are on the broker and cannot be read. Which of the sources it is, librdkafka does not say.
    fn damaged(&self, code: RDKafkaErrorCode, e: KafkaError) -> Error {
        let sources: Vec<String> =
            self.assigned.values().map(|a| format!("{} from offset {}", a.source, a.next)).collect();
        failed(
            format!(
                "records on the broker cannot be read ({code}): they are damaged, or of a kind that this version does \
                 not know. Nothing beyond them was committed; restore them from a replica, or skip them with \
                 another --group and --from OFFSET"
            ),
            e,
        )
        .with("one of", sources.join(", "))
    }

    /// Names the sources whose next offset the broker no longer, or not yet, has.
    fn out_of_range(&self, e: KafkaError) -> Error {
        let mut error = failed(
            "an offset that comes next is not on the broker: retention has removed it, or the topic was made anew. Run \
             again: it says which records are lost, and goes on without them with --lost-records skip",
            e,
        );
        for assigned in self.assigned.values() {
            let source = &assigned.source;
            match self.consumer.fetch_watermarks(&source.topic, source.partition, ANSWER) {
                Ok((low, high)) if assigned.next < low || assigned.next > high => {
                    error = error
                        .with("topic", &source.topic)
                        .with("partition", source.partition)
                        .with("next offset", assigned.next)
                        .with("on the broker", format!("{low}..{high}"));
                }
                _ => {}
            }
        }
        error
    }
}
