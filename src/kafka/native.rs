//! Calls of librdkafka's that rdkafka does not wrap, or not for all that a broker may send: the one file that calls C.
//!
//! Each pointer is either destroyed by [`Owned`], or belongs to the event or the message it came from and is read while
//! that lives.

use std::any::Any;
use std::ffi::{CStr, CString, c_int, c_void};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as c;
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
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
    // SAFETY: the name and the list of one outlive `of_topic_names`, which copies them; DescribeTopics copies the collection.
    let event = unsafe {
        let topics = Owned(
            c::rd_kafka_TopicCollection_of_topic_names([name.as_ptr()].as_mut_ptr(), 1),
            c::rd_kafka_TopicCollection_destroy,
        );
        answer(client, RDKafkaAdminOp::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, limit, |rk, options, queue| {
            checked(c::rd_kafka_AdminOptions_set_broker(options, broker, ptr::null_mut(), 0))?;
            c::rd_kafka_DescribeTopics(rk, topics.0, options, queue);
            Ok(())
        })?
    };
    // SAFETY: the event is there until the end, and what is read of it is its own.
    unsafe {
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

/// Whether a group may be joined, which is its READ; `None` from a broker that does not tell (before Kafka 2.3, and the
/// in-process cluster). Waits for the answer of the group's coordinator.
pub(super) fn may_join<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    limit: Duration,
) -> Result<Option<bool>, KafkaError> {
    let name = CString::new(group)?;
    // SAFETY: the name and the list of one outlive DescribeConsumerGroups, which copies them.
    let event = unsafe {
        let op = RDKafkaAdminOp::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        answer(client, op, limit, |rk, options, queue| {
            let refused = Owned(
                c::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1),
                c::rd_kafka_error_destroy,
            );
            checked(c::rd_kafka_error_code(refused.0))?;
            c::rd_kafka_DescribeConsumerGroups(rk, [name.as_ptr()].as_mut_ptr(), 1, options, queue);
            Ok(())
        })?
    };
    // SAFETY: the event is there until the end, and what is read of it is its own: of `count` operations, those that
    // librdkafka has names for.
    unsafe {
        let mut count = 0;
        let found = c::rd_kafka_DescribeConsumerGroups_result_groups(
            c::rd_kafka_event_DescribeConsumerGroups_result(event.0),
            &raw mut count,
        );
        if found.is_null() || count == 0 {
            return Ok(None);
        }
        checked(c::rd_kafka_error_code(c::rd_kafka_ConsumerGroupDescription_error(*found)))?;
        let allowed = c::rd_kafka_ConsumerGroupDescription_authorized_operations(*found, &raw mut count);
        if allowed.is_null() {
            return Ok(None);
        }
        let allowed = std::slice::from_raw_parts(allowed, count);
        Ok(Some(allowed.contains(&c::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_READ)))
    }
}

/// Waits for the answer to an admin call that `send` makes with the client, its options and the queue to answer into.
///
/// # Safety
///
/// `send` makes calls that copy the options.
unsafe fn answer<C: ClientContext>(
    client: &Client<C>,
    op: RDKafkaAdminOp,
    limit: Duration,
    send: impl FnOnce(
        *mut c::rd_kafka_t,
        *mut c::rd_kafka_AdminOptions_t,
        *mut c::rd_kafka_queue_t,
    ) -> Result<(), KafkaError>,
) -> Result<Owned<c::rd_kafka_event_t>, KafkaError> {
    let limit_ms = c_int::try_from(limit.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: the client outlives every call here, and the queue what is sent.
    let event = unsafe {
        let rk = client.native_ptr();
        let queue = Owned(c::rd_kafka_queue_new(rk), c::rd_kafka_queue_destroy);
        let options = Owned(c::rd_kafka_AdminOptions_new(rk, op), c::rd_kafka_AdminOptions_destroy);
        checked(c::rd_kafka_AdminOptions_set_request_timeout(options.0, limit_ms, ptr::null_mut(), 0))?;
        send(rk, options.0, queue.0)?;
        Owned(c::rd_kafka_queue_poll(queue.0, limit_ms), c::rd_kafka_event_destroy)
    };
    if event.0.is_null() {
        return Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut));
    }
    // SAFETY: the event is there.
    checked(unsafe { c::rd_kafka_event_error(event.0) })?;
    Ok(event)
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

/// Where the records of a consumer's partitions come, apart from what `poll` gives, which then is all but records.
///
/// `poll` makes an event of each record, with an allocation and some locks: half of what reading costs. Here librdkafka
/// calls back with one record after the other.
pub(super) struct Intake<C: ConsumerContext + 'static> {
    queue: Owned<c::rd_kafka_queue_t>,
    /// Behind the queue: it is there until the queue is destroyed.
    consumer: Arc<BaseConsumer<C>>,
}

impl<C: ConsumerContext> Intake<C> {
    pub fn new(consumer: &Arc<BaseConsumer<C>>) -> Self {
        // SAFETY: the client outlives the queue, which keeps it.
        let queue = unsafe { c::rd_kafka_queue_new(consumer.client().native_ptr()) };
        Self { queue: Owned(queue, c::rd_kafka_queue_destroy), consumer: consumer.clone() }
    }

    /// Has the records of a partition come here: those that wait, and those to come. It ends when the partition is given
    /// up, which librdkafka may be about to do from an earlier assignment. Doing it twice changes nothing.
    pub fn connect(&self, topic: &str, partition: i32) -> Result<(), KafkaError> {
        forward(self.consumer.client(), topic, partition, self.queue.0)
    }

    /// Gives `each` what has come, until it breaks off: what it did not get comes next time. Waits for the first for
    /// `limit`. Tells whether anything came.
    pub fn take(&self, limit: Duration, each: impl FnMut(&Message<'_>) -> ControlFlow<()>) -> bool {
        let limit_ms = c_int::try_from(limit.as_millis()).unwrap_or(c_int::MAX);
        let rk = self.consumer.client().native_ptr();
        let mut taking = Taking { each, rk, panic: None };
        // SAFETY: the queue and its client are there until the call has returned; so is `taking`, which nobody else reads
        // meanwhile: librdkafka calls back on this thread, from within this call.
        let count = unsafe {
            c::rd_kafka_consume_callback_queue(
                self.queue.0,
                limit_ms,
                Some(take_one(&taking)),
                (&raw mut taking).cast::<c_void>(),
            )
        };
        if let Some(panic) = taking.panic {
            resume_unwind(panic);
        }
        count > 0
    }
}

/// What one call of `Intake::take` has of Rust's.
struct Taking<F> {
    each: F,
    rk: *mut c::rd_kafka_t,
    panic: Option<Box<dyn Any + Send>>,
}

type TakeOne = unsafe extern "C" fn(*mut c::rd_kafka_message_t, *mut c_void);

/// The callback of this very kind of `taking`, whose type nobody can name.
fn take_one<F: FnMut(&Message<'_>) -> ControlFlow<()>>(_: &Taking<F>) -> TakeOne {
    unsafe extern "C" fn call<F: FnMut(&Message<'_>) -> ControlFlow<()>>(
        message: *mut c::rd_kafka_message_t,
        taking: *mut c_void,
    ) {
        // SAFETY: `take` gave its own, and waits. The message is librdkafka's until this returns, and is only read.
        let (taking, message) = unsafe { (&mut *taking.cast::<Taking<F>>(), Message(&*message)) };
        // A panic must not go through C.
        let went = catch_unwind(AssertUnwindSafe(|| (taking.each)(&message)));
        if matches!(went, Ok(ControlFlow::Continue(()))) {
            return;
        }
        taking.panic = went.err();
        // SAFETY: it sets a flag of this thread's; librdkafka then puts the rest back.
        unsafe { c::rd_kafka_yield(taking.rk) }
    }
    call::<F>
}

/// A record as librdkafka holds it, or what comes in the place of one.
pub(super) struct Message<'a>(&'a c::rd_kafka_message_t);

impl Message<'_> {
    /// What it is, where it is no record; of [`KafkaError::PartitionEOF`] the offset is the end.
    pub fn error(&self) -> Option<KafkaError> {
        match self.0.err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => None,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => {
                Some(KafkaError::PartitionEOF(self.0.partition))
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__FATAL => {
                Some(KafkaError::MessageConsumptionFatal(self.0.err.into()))
            }
            code => Some(KafkaError::MessageConsumption(code.into())),
        }
    }

    /// The error in librdkafka's words.
    pub fn reason(&self) -> String {
        // SAFETY: the message is there until the end; the text is its own, or a constant.
        let text = unsafe { c::rd_kafka_message_errstr(self.0) };
        if text.is_null() {
            return String::new();
        }
        // SAFETY: it ends with a NUL.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }

    pub fn partition(&self) -> i32 {
        self.0.partition
    }

    pub fn offset(&self) -> i64 {
        self.0.offset
    }

    /// Milliseconds since the epoch.
    pub fn timestamp(&self) -> Option<i64> {
        let mut kind = c::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is there until the end; the call writes the kind.
        let timestamp = unsafe { c::rd_kafka_message_timestamp(self.0, &raw mut kind) };
        (kind != c::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && timestamp != -1)
            .then_some(timestamp)
    }

    pub fn key(&self) -> Option<&[u8]> {
        // SAFETY: so many bytes are there as long as the message is.
        unsafe { bytes(self.0.key, self.0.key_len) }
    }

    pub fn value(&self) -> Option<&[u8]> {
        // SAFETY: so many bytes are there as long as the message is.
        unsafe { bytes(self.0.payload, self.0.len) }
    }

    /// Gives each header: its name and its value.
    pub fn each_header(&self, header: impl FnMut(&[u8], Option<&[u8]>)) {
        // SAFETY: the message is there until the end.
        unsafe { headers(self.0, header) }
    }
}

/// Bytes of a message's; `None` where it has none.
///
/// # Safety
///
/// At an address that is not null, `len` bytes live as long as `'a`.
unsafe fn bytes<'a>(at: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: as the caller says.
    (!at.is_null()).then(|| unsafe { std::slice::from_raw_parts(at.cast(), len) })
}

/// Keeps the records of a partition apart from `poll`, for an [`Intake`] to take. To be called before the partition is
/// assigned: what comes before that would be given by `poll`.
pub(super) fn hold_back<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: i32,
) -> Result<(), KafkaError> {
    forward(client, topic, partition, ptr::null_mut())
}

fn forward<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: i32,
    to: *mut c::rd_kafka_queue_t,
) -> Result<(), KafkaError> {
    let topic = CString::new(topic)?;
    // SAFETY: the client outlives the calls. The partition's queue keeps what it is forwarded to; the reference to it that
    // is given here ends here.
    unsafe {
        let queue = c::rd_kafka_queue_get_partition(client.native_ptr(), topic.as_ptr(), partition);
        if queue.is_null() {
            return Err(KafkaError::Subscription("librdkafka has no queue for the partition".into()));
        }
        let queue = Owned(queue, c::rd_kafka_queue_destroy);
        c::rd_kafka_queue_forward(queue.0, to);
    }
    Ok(())
}

/// rdkafka panics at a name that is not UTF-8.
///
/// # Safety
///
/// The message is there until the end.
unsafe fn headers(message: *const c::rd_kafka_message_t, mut header: impl FnMut(&[u8], Option<&[u8]>)) {
    let mut headers = ptr::null_mut();
    // SAFETY: what is read of the message is its own. A name ends with a NUL; a value has a length.
    unsafe {
        if checked(c::rd_kafka_message_headers(message, &raw mut headers)).is_err() {
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
