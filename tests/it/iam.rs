//! The token that Amazon MSK takes, without MSK: what is in it, and that AWS's documented algorithm gives its signature
//! (Signature Version 4, "Authenticating requests: using query parameters").

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use sha2::{Digest, Sha256};
use ticklake::kafka::iam::Token;
use url::Url;

/// 2026-11-22T14:30:15Z
const NOW: u64 = 1_795_357_815;
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

fn keys(session: Option<&str>, ends_at: Option<SystemTime>) -> Credentials {
    Credentials::new("AKIDEXAMPLE", SECRET, session.map(str::to_owned), ends_at, "test")
}

/// The presigned request in a token.
fn request(token: &Token) -> Url {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for sign in token.text.bytes() {
        let value = alphabet.iter().position(|s| *s == sign).expect("base64 for URLs, without padding");
        held = held << 6 | value as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    Url::parse(std::str::from_utf8(&bytes).expect("text")).expect("a URL")
}

fn parameters(url: &Url) -> BTreeMap<String, String> {
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// RFC 2104, for keys of up to 64 bytes.
fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    let pad = |with: u8| -> Vec<u8> { (0..64).map(|i| key.get(i).unwrap_or(&0) ^ with).collect() };
    let inner = hash(&[&pad(0x36), text.as_bytes()].concat());
    hash(&[&pad(0x5c)[..], &inner].concat())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 3986: what is not unreserved is escaped.
fn escaped(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => (byte as char).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// As the documentation has it: a canonical request, a string to sign, a key that is derived four times.
fn signature(url: &Url, region: &str) -> String {
    let signed =
        parameters(url).into_iter().filter(|(name, _)| name != "X-Amz-Signature" && name != "User-Agent");
    let query: Vec<String> =
        signed.map(|(name, value)| format!("{}={}", escaped(&name), escaped(&value))).collect();
    let canonical = format!(
        "GET\n/\n{}\nhost:{}\n\nhost\n{}",
        query.join("&"),
        url.host_str().expect("a host"),
        hex(&hash(b""))
    );
    let scope = format!("20261122/{region}/kafka-cluster/aws4_request");
    let to_sign =
        format!("AWS4-HMAC-SHA256\n20261122T143015Z\n{scope}\n{}", hex(&hash(canonical.as_bytes())));
    let mut key = hmac(format!("AWS4{SECRET}").as_bytes(), "20261122");
    for step in [region, "kafka-cluster", "aws4_request"] {
        key = hmac(&key, step);
    }
    hex(&hmac(&key, &to_sign))
}

#[test]
fn a_token_is_a_presigned_wish_to_connect() {
    for (region, session) in [("eu-central-1", None), ("us-east-1", Some("IQoJb3JpZ2lu+X2V/jEA~*=="))] {
        let token = Token::sign(&keys(session, None), region, now()).unwrap();
        let url = request(&token);
        assert_eq!(url.scheme(), "https");
        assert_eq!(url.host_str(), Some(format!("kafka.{region}.amazonaws.com").as_str()));
        assert_eq!(url.path(), "/");
        let found = parameters(&url);
        let is = |name: &str, value: &str| assert_eq!(found[name], value, "{name}");
        is("Action", "kafka-cluster:Connect");
        is("X-Amz-Algorithm", "AWS4-HMAC-SHA256");
        is("X-Amz-Credential", &format!("AKIDEXAMPLE/20261122/{region}/kafka-cluster/aws4_request"));
        is("X-Amz-Date", "20261122T143015Z");
        is("X-Amz-Expires", "900");
        is("X-Amz-SignedHeaders", "host");
        assert!(found["User-Agent"].starts_with("ticklake/"));
        assert_eq!(found.get("X-Amz-Security-Token").map(String::as_str), session);
        is("X-Amz-Signature", &signature(&url, region));
        assert_eq!(token.ends_at, now() + Duration::from_secs(900));
    }
}

#[test]
fn a_token_ends_with_its_credentials() {
    let soon = now() + Duration::from_secs(60);
    assert_eq!(Token::sign(&keys(None, Some(soon)), "eu-central-1", now()).unwrap().ends_at, soon);
}

#[test]
fn a_token_is_not_printed() {
    let token = Token::sign(&keys(None, None), "eu-central-1", now()).unwrap();
    assert!(!format!("{token:?}").contains(&token.text[..16]));
}
