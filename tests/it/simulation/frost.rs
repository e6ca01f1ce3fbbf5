//! What holds a process still, as SIGSTOP does.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

#[derive(Debug, Default)]
pub struct Frost {
    frozen: AtomicBool,
    /// Requests of the process stand still with it.
    requests: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

impl Frost {
    pub fn freeze(&self, requests: bool) {
        self.requests.store(requests, Ordering::Relaxed);
        self.frozen.store(true, Ordering::Relaxed);
    }

    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Relaxed)
    }

    pub fn thaw(&self) {
        self.frozen.store(false, Ordering::Relaxed);
        self.waiting.lock().unwrap().drain(..).for_each(Waker::wake);
    }

    pub fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_frozen() {
            return Poll::Ready(());
        }
        self.waiting.lock().unwrap().push(context.waker().clone());
        Poll::Pending
    }

    /// Where a request of the process goes on.
    pub async fn passed(&self) {
        if self.requests.load(Ordering::Relaxed) {
            std::future::poll_fn(|context| self.poll(context)).await;
        }
    }
}
