//! The words of iperf3's control connection.
//!
//! A test is led by one TCP connection. The client opens it with a cookie that names the test; from
//! then on the server says, one byte each, in which state the test is, and the client says when it
//! ends. Parameters and results pass as JSON behind a length of four bytes. Each stream of a TCP
//! test is a connection of its own that opens with the same cookie; each stream of a UDP test
//! opens with a datagram that the server answers.
//!
//! ```text
//! client                              server
//!   cookie ───────────────────────────▶
//!          ◀─────────── PARAM_EXCHANGE 9   or ACCESS_DENIED when it has a test to run
//!   parameters ───────────────────────▶
//!          ◀─────────── CREATE_STREAMS 10
//!   streams ══════════════════════════▶
//!          ◀─────────────── TEST_START 1
//!          ◀───────────── TEST_RUNNING 2
//!   data   ═══════════════════════════     either way, or both
//!   TEST_END 4 ───────────────────────▶
//!          ◀───────── EXCHANGE_RESULTS 13
//!   results ──────────────────────────▶
//!          ◀─────────────────── results
//!          ◀────────── DISPLAY_RESULTS 14
//!   IPERF_DONE 16 ────────────────────▶
//! ```

use std::fmt;

/// Where iperf3 servers listen.
pub const DEFAULT_PORT: u16 = 5201;
/// The version of iperf3 whose messages these are.
pub const VERSION: &str = "3.12";
/// Bytes of a cookie: 36 characters and a zero.
pub const COOKIE_LEN: usize = 37;
/// The longest parameters that a server reads.
pub const MAX_PARAMS: usize = 8 * 1024;
/// The longest results that either side reads; a server's output may be in them.
pub const MAX_RESULTS: usize = 4 * 1024 * 1024;

/// Names a test.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cookie(pub [u8; COOKIE_LEN]);

impl Cookie {
    /// A new cookie of the letters that iperf3 uses, from 36 random bytes.
    pub fn new(random: [u8; COOKIE_LEN - 1]) -> Self {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut cookie = [0; COOKIE_LEN];
        for (letter, random) in cookie.iter_mut().zip(random) {
            *letter = LETTERS[usize::from(random % 32)];
        }
        Cookie(cookie)
    }
}

/// Its characters, up to the zero.
impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.split(|&byte| byte == 0).next().unwrap_or_default();
        write!(f, "{}", text.escape_ascii())
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie({self})")
    }
}

/// In which state the test is, or is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum State {
    /// The streams are there.
    TestStart = 1,
    /// Data may flow.
    TestRunning = 2,
    /// The client has had enough.
    TestEnd = 4,
    /// The client is to send its parameters.
    ParamExchange = 9,
    /// The client is to open the streams.
    CreateStreams = 10,
    /// The server goes away.
    ServerTerminate = 11,
    /// The client goes away.
    ClientTerminate = 12,
    /// Both are to tell what they counted.
    ExchangeResults = 13,
    /// The client has all it needs to show.
    DisplayResults = 14,
    /// The client goes away, content.
    IperfDone = 16,
    /// Another test is running.
    AccessDenied = -1,
    /// The server cannot do what was asked; two numbers that say why follow.
    ServerError = -2,
}

impl State {
    /// The state that a byte names.
    pub fn from_byte(byte: u8) -> Option<State> {
        use State::*;
        let all = [
            TestStart,
            TestRunning,
            TestEnd,
            ParamExchange,
            CreateStreams,
            ServerTerminate,
            ClientTerminate,
            ExchangeResults,
            DisplayResults,
            IperfDone,
            AccessDenied,
            ServerError,
        ];
        all.into_iter().find(|state| state.byte() == byte)
    }

    /// The byte that names it.
    pub fn byte(self) -> u8 {
        self as i8 as u8
    }
}

/// What a server says after [`State::ServerError`]: iperf3's number for the error, and an errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerError {
    /// What the server could not do.
    pub code: i32,
    /// Why, or zero.
    pub errno: i32,
}

impl ServerError {
    /// The parameters cannot be read.
    pub const PARAMETERS: i32 = 114;
    /// A stream cannot be opened.
    pub const STREAM: i32 = 204;
    /// Nothing has come for too long.
    pub const IDLE: i32 = 144;
    /// The maximum segment size cannot be had.
    pub const MSS: i32 = 123;
    /// The congestion control algorithm cannot be had.
    pub const CONGESTION: i32 = 134;

    /// As it is sent.
    pub fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.code.to_be_bytes());
        bytes[4..].copy_from_slice(&self.errno.to_be_bytes());
        bytes
    }

    /// As it came.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        ServerError {
            code: i32::from_be_bytes([a, b, c, d]),
            errno: i32::from_be_bytes([e, f, g, h]),
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.code {
            102 | 202 => "cannot listen for the streams",
            109 => "lost the control connection",
            ServerError::PARAMETERS => "cannot read the parameters",
            117 => "cannot read the results",
            119 => "was left by the client",
            121 => "is busy running a test",
            ServerError::MSS | 148 => "cannot set this maximum segment size (-M)",
            124 | 130 | 141 => "cannot set this buffer size (-w)",
            125 => "cannot set this type of service (-S)",
            ServerError::CONGESTION => "does not have this congestion control algorithm (-C)",
            142 => "wants a user name and a password",
            ServerError::IDLE => "has received nothing for too long",
            200 | 201 | 203 | ServerError::STREAM => "cannot open the streams",
            205 => "cannot write to a stream",
            206 | 207 => "cannot read from a stream",
            _ => return write!(f, "the server reports error {}{}", self.code, Errno(self.errno)),
        };
        write!(f, "the server {what}{}", Errno(self.errno))
    }
}

/// An errno in words, where there is one.
struct Errno(i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            errno => write!(f, ": {}", std::io::Error::from_raw_os_error(errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_survive_the_wire() {
        let named: Vec<u8> = (0..=255u8).filter(|&byte| State::from_byte(byte).is_some()).collect();
        assert_eq!(named, [1, 2, 4, 9, 10, 11, 12, 13, 14, 16, 254, 255]);
        for byte in named {
            assert_eq!(State::from_byte(byte).unwrap().byte(), byte);
        }
    }

    #[test]
    fn cookies_are_36_letters_and_a_zero() {
        let cookie = Cookie::new(std::array::from_fn(|n| n as u8 * 7));
        assert_eq!(cookie.0[36], 0);
        assert_eq!(cookie.to_string().len(), 36);
        assert!(cookie.0[..36].iter().all(u8::is_ascii_alphanumeric));
        let hostile = Cookie([0x1b; COOKIE_LEN]);
        assert!(hostile.to_string().starts_with("\\x1b\\x1b"), "a terminal is safe from it");
    }

    #[test]
    fn server_errors() {
        let error = ServerError { code: ServerError::CONGESTION, errno: 2 };
        assert_eq!(ServerError::from_bytes(error.to_bytes()), error);
        let text = error.to_string();
        assert!(text.contains("congestion control") && text.contains("No such file"), "{text}");
        let unknown = ServerError { code: -7, errno: 0 };
        assert_eq!(unknown.to_string(), "the server reports error -7");
    }
}
