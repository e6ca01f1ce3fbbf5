//! The program on a pseudo-terminal, as a user sits before it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use nix::libc;
use nix::pty::openpty;
use tokio::time::Instant;

/// What is waited for comes within this, also on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
pub const CTRL_C: &str = "\x03";
pub const CTRL_D: &str = "\x04";
pub const UP: &str = "\x1b[A";

/// A terminal with one program on it. Dropped, it ends the program.
pub struct Pty {
    keys: File,
    screen: Receiver<Vec<u8>>,
    child: Child,
    /// What came, without its escape sequences.
    shown: String,
    /// Up to where a test has looked.
    seen: usize,
}

impl Pty {
    pub fn start(mut command: Command) -> Self {
        let pty = openpty(None, None).expect("a pseudo-terminal");
        let side = || Stdio::from(pty.slave.try_clone().expect("its other side"));
        command.stdin(side()).stdout(side()).stderr(side()).env("TERM", "xterm");
        // SAFETY: between fork and exec only two system calls are made, both async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                // Its own session, whose terminal is stdin: so Ctrl-C is a signal to it.
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY as _, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().expect("it starts");
        // The command holds the other side too: with it open the screen would have no end.
        drop((command, pty.slave));
        let keys = File::from(pty.master);
        let mut master = keys.try_clone().expect("the terminal");
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // At its end a terminal gives an error, not nothing.
            while let Ok(read @ 1..) = master.read(&mut bytes) {
                if sender.send(bytes[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { keys, screen, child, shown: String::new(), seen: 0 }
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal takes it");
    }

    pub fn enter(&mut self, line: &str) {
        self.press(line);
        self.press("\r");
    }

    /// Waits until this is shown, after what was waited for last; gives what is between.
    pub fn sees(&mut self, text: &str) -> String {
        let (mut raw, mut searched) = (Vec::new(), self.seen);
        loop {
            if let Some(at) = self.shown[searched..].find(text) {
                let between = self.shown[self.seen..searched + at].to_owned();
                self.seen = searched + at + text.len();
                return between;
            }
            // Half of the text may be there.
            let rest = self.shown.len().saturating_sub(text.len());
            searched = self.shown.floor_char_boundary(rest).max(self.seen);
            match self.screen.recv_timeout(PATIENCE) {
                Ok(bytes) => raw.extend(bytes),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("{text:?} is not shown: {:?}", &self.shown[self.seen..]);
                }
            }
            self.shown.push_str(&without_escapes(&mut raw));
        }
    }

    /// Waits for the end.
    pub fn ends(mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // It is read on, as a program that writes waits for its terminal.
            let _ = self.screen.recv_timeout(Duration::from_millis(20));
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "it goes on: {:?}", &self.shown[self.seen..]);
        }
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text of what came; what may be half a character or half a sequence stays.
fn without_escapes(raw: &mut Vec<u8>) -> String {
    let end = match raw.iter().rposition(|b| *b == 0x1b) {
        Some(at) if !raw[at..].iter().skip(2).any(u8::is_ascii_alphabetic) => at,
        _ => raw.len(),
    };
    let end = match std::str::from_utf8(&raw[..end]) {
        Ok(_) => end,
        Err(e) => e.valid_up_to(),
    };
    let text = String::from_utf8_lossy(&raw.drain(..end).collect::<Vec<_>>()).into_owned();
    let mut shown = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            // CSI, its parameters, a letter.
            '\x1b' => drop(chars.by_ref().skip(1).find(char::is_ascii_alphabetic)),
            '\r' | '\x07' => {}
            c => shown.push(c),
        }
    }
    shown
}
