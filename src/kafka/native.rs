//! Calls of librdkafka's that rdkafka does not wrap, or not for all that a broker may send: the one file that calls C.
//!
//! Each pointer is either destroyed by [`Owned`], or belongs to the event or the message it came from and is read while
//! that lives.

use std::ffi::{CStr, CString, c_int};
use std::ptr;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as c;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::{RDKafkaAdminOp, RDKafkaRespErr};

use super::iam::Token;

/// A topic's own id, which a topic that is made anew under the same name does not have, as Kafka's own tools print it;
/// `None` from a broker that has none (before Kafka 2.8). Waits for the answer of `broker`, any that is there: librdkafka
/// would look for the controller, which the in-process cluster has none of.
pub(super) fn topic_id<C: ClientContext>(
    client: &Client<C>,
    broker: i32,
    topic: &str,
    limit: Duration,
) -> Result<Option<String>, KafkaError> {
    let name = CString::new(topic)?;
    let limit_ms = c_int::try_from(limit.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: the client outlives every call here. The name and the list of one outlive `of_topic_names`, which copies
    // them; DescribeTopics copies the collection and the options, and answers into the queue.
    let event = unsafe {
        let rk = client.native_ptr();
        let queue = Owned(c::rd_kafka_queue_new(rk), c::rd_kafka_queue_destroy);
        let topics = Owned(
            c::rd_kafka_TopicCollection_of_topic_names([name.as_ptr()].as_mut_ptr(), 1),
            c::rd_kafka_TopicCollection_destroy,
        );
        let options = Owned(
            c::rd_kafka_AdminOptions_new(rk, RDKafkaAdminOp::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS),
            c::rd_kafka_AdminOptions_destroy,
        );
        checked(c::rd_kafka_AdminOptions_set_request_timeout(options.0, limit_ms, ptr::null_mut(), 0))?;
        checked(c::rd_kafka_AdminOptions_set_broker(options.0, broker, ptr::null_mut(), 0))?;
        c::rd_kafka_DescribeTopics(rk, topics.0, options.0, queue.0);
        Owned(c::rd_kafka_queue_poll(queue.0, limit_ms), c::rd_kafka_event_destroy)
    };
    if event.0.is_null() {
        return Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut));
    }
    // SAFETY: the event is there until the end, and what is read of it is its own.
    unsafe {
        checked(c::rd_kafka_event_error(event.0))?;
        let mut count = 0;
        let found = c::rd_kafka_DescribeTopics_result_topics(
            c::rd_kafka_event_DescribeTopics_result(event.0),
            &raw mut count,
        );
        if found.is_null() || count == 0 {
            return Ok(None);
        }
        // Without an error this is null, whose code is no error.
        checked(c::rd_kafka_error_code(c::rd_kafka_TopicDescription_error(*found)))?;
        let id = c::rd_kafka_TopicDescription_topic_id(*found);
        let is_zero = c::rd_kafka_Uuid_most_significant_bits(id) == 0
            && c::rd_kafka_Uuid_least_significant_bits(id) == 0;
        let text = c::rd_kafka_Uuid_base64str(id);
        if is_zero || text.is_null() {
            return Ok(None);
        }
        // Kafka's tools print ids in the alphabet for URLs.
        Ok(Some(CStr::from_ptr(text).to_string_lossy().replace('+', "-").replace('/', "_")))
    }
}

/// Asks for a commit, and has the answer come by `poll`, as the context's `commit_callback`. rdkafka's own asynchronous
/// commit gives no queue for the answer, and nobody hears whether it went through.
pub(super) fn commit<C: ClientContext>(
    client: &Client<C>,
    offsets: &TopicPartitionList,
) -> Result<(), KafkaError> {
    // SAFETY: the client outlives the calls, and copies the offsets. The queue is the consumer's own, which rdkafka polls;
    // the reference to it that is given here ends here.
    unsafe {
        let rk = client.native_ptr();
        let queue = Owned(c::rd_kafka_queue_get_consumer(rk), c::rd_kafka_queue_destroy);
        match c::rd_kafka_commit_queue(rk, offsets.ptr(), queue.0, None, ptr::null_mut()) {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            code => Err(KafkaError::ConsumerCommit(code.into())),
        }
    }
}

/// Gives a client its token without being asked by an event.
pub(super) fn set_token<C: ClientContext>(client: &Client<C>, token: &Token) -> Result<(), KafkaError> {
    let text = CString::new(token.text.as_str())?;
    // SAFETY: the client outlives the call, which copies the texts; there are no extensions, and no buffer for words.
    let set = unsafe {
        c::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            text.as_ptr(),
            token.ends_at_ms(),
            c"".as_ptr(),
            ptr::null_mut(),
            0,
            ptr::null_mut(),
            0,
        )
    };
    checked(set)
}

/// Where a partition ended when it was last fetched, without asking the broker; `None` where it was not fetched yet.
pub(super) fn last_seen_end<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: i32,
) -> Option<i64> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client outlives the call, which writes the two numbers.
    let known = unsafe {
        c::rd_kafka_get_watermark_offsets(
            client.native_ptr(),
            topic.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    checked(known).ok().map(|()| high).filter(|high| *high >= 0)
}

/// Has the in-process brokers of a client give a new group's members their partitions after `delay`: librdkafka's 3 s are
/// for members that are on their way, and a group has one here.
pub(super) fn set_first_rebalance<C: ClientContext>(client: &Client<C>, delay: Duration) {
    let delay_ms = i32::try_from(delay.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client outlives the calls, and owns the brokers; without any, nothing is called.
    unsafe {
        let brokers = c::rd_kafka_handle_mock_cluster(client.native_ptr());
        if !brokers.is_null() {
            c::rd_kafka_mock_group_initial_rebalance_delay_ms(brokers, delay_ms);
        }
    }
}

/// Gives each header of a message: its name and its value. rdkafka panics at a name that is not UTF-8.
pub(super) fn each_header(message: &BorrowedMessage<'_>, mut header: impl FnMut(&[u8], Option<&[u8]>)) {
    let mut headers = ptr::null_mut();
    // SAFETY: the message is there until the end, and what is read of it is its own. A name ends with a NUL; a value has
    // a length.
    unsafe {
        if checked(c::rd_kafka_message_headers(message.ptr(), &raw mut headers)).is_err() {
            return; // it has none
        }
        for index in 0.. {
            let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
            let found =
                c::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut len);
            if checked(found).is_err() {
                return;
            }
            let value = (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast(), len));
            header(CStr::from_ptr(name).to_bytes(), value);
        }
    }
}

fn checked(code: RDKafkaRespErr) -> Result<(), KafkaError> {
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(KafkaError::AdminOp(code.into())),
    }
}

/// Something of librdkafka's, and how it is destroyed; both take null.
struct Owned<T>(*mut T, unsafe extern "C" fn(*mut T));

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: it was given to us to destroy, and is destroyed nowhere else.
            unsafe { (self.1)(self.0) }
        }
    }
}
