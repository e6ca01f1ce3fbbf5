//! What goes wrong, how often, and how often it did: shared by all simulated parts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::chance::Chance;

/// How often each kind of fault comes, in a thousand calls.
#[derive(Clone, Debug)]
pub struct Rates {
    /// A put that fails before or after its work.
    pub puts: u64,
    /// A put that comes to work long after its caller was told that it failed.
    pub late_puts: u64,
    /// A listing or a read that fails.
    pub reads: u64,
    pub catalog: u64,
    /// Commits that fail, or whose answer is lost.
    pub commits: u64,
    /// A question for the group's offsets that is not answered.
    pub offsets: u64,
    /// The longest that a call takes, milliseconds.
    pub latency: u64,
}

/// The faults of one schedule. It keeps also what was found wrong.
#[derive(Debug)]
pub struct Faults {
    seed: u64,
    pub rates: Rates,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    over: bool,
    store_down: Option<Instant>,
    catalog_down: Option<Instant>,
    /// Words of the errors that a writer may end with.
    foreseen: Vec<&'static str>,
    calls: HashMap<String, u64>,
    counts: BTreeMap<&'static str, u64>,
    wrong: Vec<String>,
    log: Vec<String>,
}

impl Faults {
    pub fn new(seed: u64, rates: Rates) -> Self {
        Self { seed, rates, state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The draws of one call: by what it is and how often it was made, whatever was called meanwhile.
    pub fn call(&self, name: &str) -> Chance {
        let mut state = self.state();
        let nth = state.calls.entry(name.to_owned()).or_default();
        *nth += 1;
        Chance::of(self.seed, name, *nth)
    }

    /// Whether a fault of this rate comes to pass; it is counted.
    pub fn comes(&self, chance: &mut Chance, permille: u64, what: &'static str) -> bool {
        let comes = chance.happens(permille) && !self.state().over;
        if comes {
            self.count(what);
        }
        comes
    }

    pub fn latency(&self, chance: &mut Chance) -> Duration {
        Duration::from_millis(chance.between(0, self.rates.latency))
    }

    pub fn count(&self, what: &'static str) {
        *self.state().counts.entry(what).or_default() += 1;
    }

    pub fn store_is_down(&self) -> bool {
        self.state().store_down.is_some_and(|until| Instant::now() < until)
    }

    pub fn catalog_is_down(&self) -> bool {
        self.state().catalog_down.is_some_and(|until| Instant::now() < until)
    }

    pub fn take_store_down(&self, length: Duration) {
        self.state().store_down = Some(Instant::now() + length);
    }

    pub fn take_catalog_down(&self, length: Duration) {
        self.state().catalog_down = Some(Instant::now() + length);
    }

    /// No fault comes any more.
    pub fn end(&self) {
        let mut state = self.state();
        (state.over, state.store_down, state.catalog_down) = (true, None, None);
    }

    pub fn are_over(&self) -> bool {
        self.state().over
    }

    pub fn foresee(&self, words: &[&'static str]) {
        self.state().foreseen.extend(words);
    }

    /// A store or a catalog that fails ends a job at its start only: one that has joined waits it out.
    pub fn is_foreseen(&self, error: &str, has_joined: bool) -> bool {
        let is_faulty =
            ["faulty", "says that an object exists, and has none"].iter().any(|w| error.contains(w));
        if is_faulty { !has_joined } else { self.state().foreseen.iter().any(|word| error.contains(word)) }
    }

    pub fn wrong(&self, what: String) {
        self.note(format!("WRONG: {what}"));
        self.state().wrong.push(what);
    }

    pub fn is_wrong(&self) -> bool {
        !self.state().wrong.is_empty()
    }

    pub fn note(&self, what: String) {
        let at = START.with(|start| start.get().map_or(Duration::ZERO, |start| start.elapsed()));
        self.state().log.push(format!("{:9.3} {what}", at.as_secs_f64()));
    }

    pub fn found(&self) -> (Vec<String>, Vec<String>, BTreeMap<&'static str, u64>) {
        let state = self.state();
        (state.wrong.clone(), state.log.clone(), state.counts.clone())
    }
}

thread_local! {
    /// When the schedule of this thread began: for the log.
    pub static START: std::cell::Cell<Option<Instant>> = const { std::cell::Cell::new(None) };
}
