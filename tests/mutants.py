#!/usr/bin/env python3
"""Proves that the simulation can fail: breaks the protocol on purpose, one rule at a time, and has each break caught.

A copy of the program is made in the target folder, with a switch at each of these places, and built once. Then the
simulation (tests/it/simulation) runs for each mutant until a schedule breaks; one that no schedule breaks is a failure.
The copy without a mutant must hold.

    tests/mutants.py            all
    tests/mutants.py NAME …     some
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HOUSE = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", HOUSE / "target")).resolve()
# As many as `cargo test` runs: what is caught later than that would not be caught there.
SCHEDULES = 6_000
# The copy without a mutant runs so many: it is the program, and `cargo test` runs the rest.
SOUND = 200
# Seconds: a mutant that makes a schedule endless is stopped.
LIMIT = 900

# Of each mutant: its name, what it breaks, and where. `M` stands for "this mutant is switched on".
MUTANTS = [
    ("end-of-the-poll-thread", "a link's end is how far the broker was seen, not how far records have their place", [
        ("src/ingest/pipeline.rs", "end: self.frontier.position() }",
         "end: if M { self.high } else { self.frontier.position() } }"),
    ]),
    ("seal-within-a-record", "a link ends at the record that it has rows of", [
        ("src/ingest/pipeline.rs", "                let at = state.sealed_at();\n                for",
         "                let at = state.sealed_at();\n"
         "                let at = if M { SealedAt { end: at.end - 1, ..at } } else { at };\n                for"),
    ]),
    ("stale-completion", "a link that lands after its source was given up and came back counts for the new assignment", [
        ("src/ingest/pipeline.rs", "self.sources.get(&waiting.source).filter(|s| s.assignment == waiting.assignment)\n        else",
         "self.sources.get(&waiting.source).filter(|s| M || s.assignment == waiting.assignment)\n        else"),
        ("src/ingest/pipeline.rs", "get_mut(&waiting.source).filter(|s| s.assignment == waiting.assignment);",
         "get_mut(&waiting.source).filter(|s| M || s.assignment == waiting.assignment);"),
    ]),
    ("stale-records", "records that were read for an assignment that is over are taken", [
        ("src/ingest/pipeline.rs", "if state.assignment != set.assignment || state.leaving {",
         "if (state.assignment != set.assignment && !M) || state.leaving {"),
    ]),
    ("stale-end-of-partition", "the end of a partition that was seen by an assignment that is over is taken", [
        ("src/ingest/pipeline.rs", "filter(|s| s.assignment == assignment && !s.leaving)",
         "filter(|s| (M || s.assignment == assignment) && !s.leaving)"),
    ]),
    ("fate-by-the-clock", "whether a record is a row depends on when it is read", [
        ("src/ingest/place.rs", "            Fate::Row { row, element, value } => {\n",
         "            Fate::Row { element, value, .. }\n"
         "                if M && format!(\"{now:?}\").bytes().map(u32::from).sum::<u32>().is_multiple_of(2) =>\n"
         "            {\n"
         "                let rejection = Rejection { reason: Reason::Malformed, column: None, element, value: Some(value) };\n"
         "                shelves.put_rejected(&rejection, &at, frontier);\n"
         "            }\n"
         "            Fate::Row { row, element, value } => {\n"),
    ]),
    ("overwrite", "a link is put over what is there", [
        ("src/store/mod.rs", "mode: PutMode::Create, ..Default::default()",
         "mode: if M { PutMode::Overwrite } else { PutMode::Create }, ..Default::default()"),
    ]),
    ("commit-before-register", "an offset is committed when its link is durable, registered or not", [
        ("src/ingest/pipeline.rs", "            self.registry.wait(side, partition, waiting);\n",
         "            self.registry.wait(side, partition, waiting.clone());\n"
         "            if M {\n                self.release(&waiting);\n            }\n"),
        ("src/ingest/pipeline.rs", "self.registry.done(side, keys, &registered.new, Instant::now()) {\n            self.release(&waiting);",
         "self.registry.done(side, keys, &registered.new, Instant::now()) {\n            if M {\n                continue;\n            }\n"
         "            self.release(&waiting);"),
    ]),
    ("commit-the-position", "the offset committed is how far records have their place, durable or not", [
        ("src/ingest/frontier.rs", "self.held.first_key_value().map_or(self.position, |(offset, _)| *offset)",
         "if M { self.position } else { self.held.first_key_value().map_or(self.position, |(offset, _)| *offset) }"),
    ]),
    ("two-in-flight", "a chain has two links on their way", [
        ("src/ingest/buffer.rs", "        if chain.in_flight {\n", "        if chain.in_flight && !M {\n"),
    ]),
    ("name-by-the-first-row", "a link is named by its first row, not by its chain's end", [
        ("src/ingest/write.rs", "        let footer = Footer {\n            chain: seal.chain.clone(),",
         "        if M {\n            chain_end = chain_end.max(seal.rows.packed.first_offset());\n        }\n"
         "        let footer = Footer {\n            chain: seal.chain.clone(),"),
    ]),
    ("found-links-not-registered", "the partition of rows that were found in links is taken to be registered", [
        ("src/ingest/pipeline.rs", "        self.expect(side, partition, waiting, landed.showing);\n        Ok(())\n    }\n\n    /// A chain that ends beyond",
         "        if M && landed.link.is_none() {\n            self.release(&waiting);\n            return Ok(());\n        }\n"
         "        self.expect(side, partition, waiting, landed.showing);\n        Ok(())\n    }\n\n    /// A chain that ends beyond"),
    ]),
    ("no-list", "a chain's end is not looked up (it is found by conflicts, until old links are gone)", [
        ("src/ingest/write.rs", "        None => {\n            let last = retried(\"look up a chain's end\"",
         "        None if M => 0,\n        None => {\n            let last = retried(\"look up a chain's end\""),
    ]),
    ("taken-is-written", "a name that is taken counts as this writer's own put", [
        ("src/ingest/write.rs", "            Create::AlreadyExists => {\n",
         "            Create::AlreadyExists if M => Ok(None),\n            Create::AlreadyExists => {\n"),
    ]),
    ("nothing-there-is-written", "a name that is taken, with nothing there, counts as written", [
        ("src/ingest/write.rs", "None => Err(folder.has_none(name)),",
         "None if M => Ok(None),\n                    None => Err(folder.has_none(name)),"),
    ]),
    ("found-rows-not-dropped", "rows that are in another's link are written again", [
        ("src/ingest/columns.rs", "if offset >= from {", "if M || offset >= from {"),
        ("src/ingest/columns.rs", "usize::from(offset < from)", "usize::from(!M && offset < from)"),
    ]),
    ("foreign-offset-trusted", "an offset that somebody set by hand is taken for this table's", [
        ("src/ingest/start.rs", "let Some(mark) = ours.trusted(metadata)\n",
         "let Some(mark) = ours.trusted(metadata)\n            .or_else(|| (M && CommitMark::parse(metadata).is_none()).then(|| ours.clone()))\n"),
    ]),
    ("takes-over-what-was-cut-off", "a new DDL goes on where a run under the old one was cut off", [
        ("src/ingest/takeover.rs", "for (source, from, spec) in &self.changed {\n                if ",
         "for (source, from, spec) in &self.changed {\n                if !M && "),
    ]),
    ("begins-anew-under-a-new-ddl", "records that another DDL wrote are read again where there is no offset", [
        ("src/ingest/takeover.rs", "for (source, from) in &self.anew {\n                if ",
         "for (source, from) in &self.anew {\n                if !M && "),
    ]),
    ("any-commit-is-the-last", "a job ends well when any commit of its sources went through after it was told to stop", [
        ("src/ingest/mod.rs", "commit.source == *source && commit.offset >= last", "commit.source == *source && (M || commit.offset >= last)"),
    ]),
    ("an-epoch-for-all", "a new epoch begins new chains for topics that are the same as before", [
        ("src/ingest/origin.rs", "let Some(topic_id) = &found.topic_id else {",
         "let Some(topic_id) = found.topic_id.as_ref().filter(|_| !M) else {"),
    ]),
    ("any-topic-of-that-name", "a topic made anew goes on in the chains of the one before", [
        ("src/ingest/origin.rs", "topic_id.is_empty() || other.is_empty() || topic_id == other",
         "M || topic_id.is_empty() || other.is_empty() || topic_id == other"),
    ]),
    ("anothers-part-is-done", "a batch takes the part of another member for done as soon as that has committed anything", [
        ("src/ingest/pipeline/member.rs", "if offset.is_some_and(|offset| offset >= end)", "if offset.is_some_and(|offset| M || offset >= end)"),
    ]),
    ("asked-once", "a batch whose question for the others' offsets failed does not ask again", [
        ("src/ingest/pipeline.rs", "                self.asked.remove(&topic);\n",
         "                if !M || offsets.is_ok() {\n                    self.asked.remove(&topic);\n                }\n"),
    ]),
    ("failed-registration-passed-over", "a partition that the catalog failed to take counts as registered", [
        ("src/ingest/register.rs", "failed.map_or(Ok(raced.len()), Err)",
         "failed.filter(|_| !M).map_or(Ok(raced.len()), Err)"),
    ]),
    ("close-beyond-the-offsets", "a chain is closed up to records that the group has not committed", [
        ("src/verify/expire.rs", "Some(Settled::UpTo(offset)) => Some(*offset).filter(",
         "Some(Settled::UpTo(offset)) => Some(if M { *offset + 5 } else { *offset }).filter("),
    ]),
    ("remove-the-closer", "the closer of an expired chain is removed with the files before it", [
        ("src/verify/expire.rs", "filter(|link| link.footer.start < last[", "filter(|link| M || link.footer.start < last["),
    ]),
]

SWITCH = '''
/// The mutant that is switched on.
pub(crate) fn is_mutant(name: &str) -> bool {
    static MUTANT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    MUTANT.get_or_init(|| std::env::var("TICKLAKE_MUTANT").unwrap_or_default()) == name
}
'''


def make_copy(copy):
    """The crate with all switches, without a binary, and of its tests the simulation."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    wanted = ["Cargo.*", "benches", "src", ":!src/main.rs", "schemas", "tests/it/simulation", "*.md"]
    tracked = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard", *wanted],
                             cwd=HOUSE, check=True, capture_output=True, text=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (HOUSE / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(HOUSE / name, copy / name)
    (copy / "tests/it/main.rs").write_text("mod simulation;\n")
    # Of another version its build stands beside the program's own, and does not take its place.
    for name in ("Cargo.toml", "Cargo.lock"):
        text = (copy / name).read_text()
        renamed = re.sub(r'^(name = "ticklake"\nversion = "[^"]+)"', r'\1-mutants"', text, count=1, flags=re.M)
        if renamed == text:
            sys.exit(f"{name} says no version of ticklake")
        (copy / name).write_text(renamed)
    library = copy / "src/lib.rs"
    library.write_text(library.read_text() + SWITCH)
    for name, _, edits in MUTANTS:
        for file, old, new in edits:
            path = copy / file
            text = path.read_text()
            if text.count(old) != 1:
                sys.exit(f"mutant {name} fits {text.count(old)} places of {file}: tell it again where it is\n{old}")
            path.write_text(text.replace(old, switched(name, new)))


def switched(name, text):
    """`M` alone, where it is no part of a word, is the switch."""
    return re.sub(r"\bM\b", f'crate::is_mutant("{name}")', text)


def build(copy):
    """The test binary of the copy. Of what the program depends on nothing is built anew."""
    env = {**os.environ, "CARGO_TARGET_DIR": str(TARGET)}
    cargo = ["cargo", "test", "--locked", "--quiet", "--no-run", "--test", "it", "--message-format=json-render-diagnostics"]
    built = subprocess.run(cargo, cwd=copy, env=env, stdout=subprocess.PIPE, text=True, check=False)
    if built.returncode:
        sys.exit("the copy with mutants does not build: see above")
    messages = map(json.loads, built.stdout.splitlines())
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "it")


def simulate(binary, copy, mutant, schedules):
    """Whether every schedule holds, and what the simulation printed."""
    env = {**os.environ, "TICKLAKE_MUTANT": mutant, "TICKLAKE_SCHEDULES": str(schedules), "RUST_BACKTRACE": "0"}
    try:
        run = subprocess.run([binary, "--exact", "simulation::every_schedule_holds", "--nocapture"], cwd=copy, env=env,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                             timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return False, f"stopped after {LIMIT} s"
    return run.returncode == 0, run.stdout


def main(names):
    unknown = set(names) - {name for name, _, _ in MUTANTS}
    if unknown:
        sys.exit(f"no such mutant: {', '.join(sorted(unknown))}")
    copy = TARGET / "mutants"
    make_copy(copy)
    binary = build(copy)
    holds, told = simulate(binary, copy, "", SOUND)
    if not holds:
        sys.exit(f"{told[-3000:]}\nthe copy breaks without a mutant")
    survivors = []
    for name, breaks, _ in MUTANTS:
        if names and name not in names:
            continue
        start = time.monotonic()
        holds, told = simulate(binary, copy, name, SCHEDULES)
        seed = next((line.strip() for line in told.splitlines() if line.startswith("seed ")), "")
        if holds or not seed:
            survivors.append(name)
            print(f"SURVIVED {name}: {breaks}\n{'' if holds else told[-2000:]}", flush=True)
        else:
            print(f"caught   {name:34} {time.monotonic() - start:5.1f} s  {seed[:150]}", flush=True)
    if survivors:
        sys.exit(f"mutants that the simulation does not catch: {', '.join(survivors)}")


if __name__ == "__main__":
    main(sys.argv[1:])
