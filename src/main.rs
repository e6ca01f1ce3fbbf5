fn main() {
    let _ = ticklake::Error::usage("");
}
