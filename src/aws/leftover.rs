//! Ends a program that was to give credentials and was given up: a `credential_process` that hangs.
//!
//! The SDK starts it and lets it go when it is not waited for any longer, so that a job which asks again and again
//! would leave one behind each time. The SDK does not say which process it is: it is any child that came since it was
//! asked, and theirs. Where there is no `/proc` they stay.

use std::fs;
use std::process::{Command, Stdio};

/// Asks for credentials; dropped before the answer is there, it ends who was asked.
pub(super) struct Asking {
    is_answered: bool,
    /// What ran before.
    others: Vec<String>,
}

impl Asking {
    pub fn new() -> Self {
        Self { is_answered: false, others: below("self") }
    }

    pub fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let mut children = below("self");
        children.retain(|child| !self.others.contains(child));
        if children.is_empty() {
            return;
        }
        // The shell that started it is there, and its own `kill`: a container may have no other.
        let ended = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -KILL {}", children.join(" ")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        tracing::debug!(?children, ?ended, "a program gave no credentials in time and was ended");
    }
}

/// The processes that a process has started, and those that they have, as far as they still run.
fn below(process: &str) -> Vec<String> {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            found.push(child.to_owned());
            found.extend(below(child));
        }
    }
    found
}
